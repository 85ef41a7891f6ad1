// Opens every page of the dashboard in Chromium, a number of times each, and prints how long each took from the navigation until
// its content stood there, beside the longest call of the API behind it:
//
//	node pages.mjs '{"base":…,"token":…,"chromium":…,"delivery":…,"event":…,"endpoint":…,"tenant":…,"bar":"300"}'
//
// With a bar, in milliseconds, a page whose median is above it ends the program with status 1.

import { chromium } from "playwright-core";

const o = JSON.parse(process.argv[2]);
const rounds = 7;
const browser = await chromium.launch({ executablePath: o.chromium, args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"] });
const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
await context.addInitScript(() => {
  const look = () => {
    const main = document.querySelector("main");
    if (!main?.querySelector("h1") || document.querySelector(".loading")) return;
    observer.disconnect();
    requestAnimationFrame(() => { window.shownAt = performance.now(); });
  };
  const observer = new MutationObserver(look);
  observer.observe(document, { childList: true, subtree: true });
});
const page = await context.newPage();
const faults = [];
page.on("pageerror", (e) => faults.push(e.message));

await page.goto(o.base);
await page.getByLabel("Access token").fill(o.token);
await page.getByRole("button", { name: "Sign in" }).click();
await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();

const median = (values) => values.slice().sort((a, b) => a - b)[Math.floor(values.length / 2)];
const slow = [];
let bytes = 0;

async function measure(name, place, fresh = true) {
  const times = [], calls = new Map();
  for (let i = 0; i < rounds; i++) {
    await page.goto("about:blank");
    await page.goto(`${o.base}#/${place}`);
    await page.waitForFunction(() => window.shownAt);
    const seen = await page.evaluate(() => ({
      at: window.shownAt, alert: document.querySelector("main [role=alert]")?.innerText || (document.querySelector("nav.side") ? "" : "nobody is in"),
      calls: performance.getEntriesByType("resource").filter((r) => r.name.includes("/api/") && r.responseEnd).map((r) => [r.name.replace(/.*\/api\//, ""), r.duration, r.startTime]),
      bytes: performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation")).filter((r) => !r.name.includes("/api/")).reduce((n, r) => n + r.encodedBodySize, 0),
    }));
    if (seen.alert) faults.push(`${name}: ${seen.alert}`);
    times.push(seen.at);
    bytes = Math.max(bytes, seen.bytes);
    for (const [call, took, began] of seen.calls) if (began < seen.at) calls.set(call, [...(calls.get(call) ?? []), took]);
  }
  const longest = [...calls].map(([call, all]) => [call, median(all)]).sort((a, b) => b[1] - a[1])[0] ?? ["none", 0];
  console.log(`${median(times).toFixed(0).padStart(5)} ms  (${Math.min(...times).toFixed(0)}–${Math.max(...times).toFixed(0)})  ${name.padEnd(34)} ${longest[1].toFixed(0).padStart(4)} ms ${longest[0]}`);
  if (o.bar && median(times) > Number(o.bar)) slow.push(name);
}

console.log("   median until shown, of 7 (range)                        its longest call");
const week = new Date(Date.now() - 7 * 864e5).toISOString(), twoWeeks = new Date(Date.now() - 14 * 864e5).toISOString();
const places = [
  ["overview", "overview"], ["webhooks", "webhooks"], ["add a webhook", "webhooks/new"], ["one webhook", `webhooks/${o.endpoint}`],
  ["deliveries", "deliveries"], ["deliveries: dead letters", "deliveries?state=exhausted"], ["deliveries: pending", "deliveries?state=pending"],
  ["deliveries: an endpoint's dead", `deliveries?state=exhausted&endpoint=${o.endpoint}`], ["deliveries: a type, last week", `deliveries?type=tracking.updated&since=${twoWeeks}&until=${week}`],
  ["deliveries: a type that is none", "deliveries?type=no.such"], ["one delivery", `deliveries/${o.delivery}`],
  ["attempts", "attempts"], ["attempts: 5xx", "attempts?status=5xx"], ["attempts: an endpoint's failures", `attempts?endpoint=${o.endpoint}&outcome=server_error`], ["attempts: timeouts, of which are none", "attempts?outcome=timeout"],
  ["events", "events"], ["events: unrouted, of which are none", "events?routing=unrouted"], ["one event", `events/${o.event}`],
  ["dead letters", "dead-letters"], ["dead letters of an endpoint", `dead-letters?endpoint=${o.endpoint}`], ["routes", "routes"], ["IP allowlist", "allowlist"],
];
for (const [name, place] of places) await measure(name, place);

const link = await (await fetch(`${o.base}api/tenants/${o.tenant}/portal-links`, { method: "POST", headers: { Authorization: `Bearer ${o.token}`, "Content-Type": "application/json" }, body: "{}" })).json();
const secret = new URL(link.url, o.base).hash.replace("#/portal?", "");
for (const [name, place] of [["webhooks", "webhooks"], ["deliveries", "deliveries"], ["dead letters", "dead-letters"], ["attempts", "attempts"], ["events", "events"]]) {
  await context.clearCookies();
  await page.goto("about:blank");
  await page.goto(`${o.base}#/portal?${secret}`);
  await page.waitForFunction(() => window.shownAt);
  await measure(`a customer's ${name}`, place);
}
console.log(`${bytes} bytes of page, compressed`);
if (faults.length) throw new Error(faults.join("\n"));
if (slow.length) throw new Error(`above ${o.bar} ms: ${slow.join(", ")}`);
await browser.close();
