// Puts hostile text into every field that a person, a publisher or a receiver can fill, and visits every page that shows it:
//
//	node hostile.mjs '{"base":…,"token":…,"chromium":…,"ingest":…,"receiver":…,"route":…}'
//
// receiver answers with hostile status, headers and body; the names in the catalog and of the endpoint and route in the
// configuration are hostile, too. Nothing may be executed, become an element or lead anywhere, and every page must keep its width.

import assert from "node:assert/strict";
import { api, context, done, eventually, fits, go, heading, o, page, publish, signIn, step, watch } from "./browser.mjs";

const corpus = [
  `"><script>executed()</script>`,
  `'><img src=x onerror=executed()>`,
  `<svg/onload=executed()>`,
  `</title></textarea></pre></style><script>executed()</script>`,
  `<iframe srcdoc="<script>parent.executed()</script>">`,
  `<a href="javascript:executed()">click</a><base href=//evil.example>`,
  `javascript:executed()//`,
  "${executed()}{{constructor.constructor('executed()')()}}",
  `" onfocus=executed() autofocus tabindex=0 x="`,
  `<style>*{display:none}</style><form action=//evil.example>`,
  "\u202Etxt.exe\u2066\u2067<b>", // turns what follows around
  "e" + "\u0301".repeat(50), // one letter, as high as a page
  "W".repeat(120), // one word, wider than a phone
  "\uFDFD".repeat(40), // the widest character there is
  "🏴‍☠️".repeat(9),
  "__proto__",
];
const every = corpus.join("");

/** harmless looks at the page as it is: at what it is made of, and how wide it is. */
async function harmless(name) {
  const found = await page.evaluate(() => [
    ...[...document.querySelectorAll("body :is(script, img, iframe, object, embed, base, style, link, meta, b, title:not(svg title))")].map((e) => e.outerHTML),
    ...[...document.querySelectorAll("a")].filter((a) => new URL(a.href).origin !== location.origin).map((a) => a.outerHTML),
    ...[...document.querySelectorAll("form")].filter((f) => f.hasAttribute("action")).map((f) => f.outerHTML),
    ...[...document.querySelectorAll("*")].flatMap((e) => [...e.attributes].filter((a) => a.name.startsWith("on") || a.name === "style" && !e.closest(".bar, html")).map((a) => `${e.tagName} ${a.name}`)),
  ]);
  assert.deepEqual(found, [], `hostile text became part of ${name}`);
  for (const [width, height] of [[360, 740], [1440, 900]]) {
    await page.setViewportSize({ width, height });
    await fits(name, width);
  }
}

const visit = async (place) => { await go(place); await page.locator(".loading").waitFor({ state: "detached" }); await harmless(place); };
async function shows(text) {
  const shown = await page.locator("body").innerText();
  assert.ok(shown.includes(text), `${text} is not shown:\n${shown}`);
}

step("sign in with what is no token");
await page.goto(o.base);
await page.getByLabel("Access token").fill(every);
await page.getByRole("button", { name: "Sign in" }).click();
await page.getByRole("alert").getByText(/./).waitFor();
await harmless("sign in");
await signIn();

step("a webhook whose every field is hostile, made in the form");
await go("webhooks/new");
await shows(corpus[0]); // the catalog's group
await harmless("webhooks/new");
const dense = every.replace(/\s/g, "");
await page.getByLabel("Endpoint URL").fill(`${o.receiver}/?q=${every}#`.replace("#", ""));
await page.getByLabel(/event types/i).last().fill("no.such.type constructor.*");
await page.getByLabel("Name", { exact: false }).first().fill(every);
await page.getByLabel("Environments", { exact: false }).fill(dense.slice(0, 128));
await page.getByText("Advanced options").click();
for (const label of ["Tenant", "Condition", "Rate limit", "Timeout", "Backup endpoints", "Ordered by"]) await page.getByLabel(label, { exact: false }).fill(every);
await page.getByRole("button", { name: "Save configuration" }).click();
await page.getByRole("alert").getByText(/./).first().waitFor(); // and what is wrong with them is told in their own words
await harmless("a refused webhook");
const literal = (text) => JSON.stringify(text);
const made = [];
for (const [i, text] of corpus.entries()) {
  made.push(await api("POST", "endpoints", {
    url: `${o.receiver}/${encodeURIComponent(text)}`, events: ["*"], description: i === 0 ? every : text, tenant: text.slice(0, 40), environment: [text.slice(0, 40)],
    when: `event.source != ${literal(text)} || data.x contains ${literal(text)}`, ordered_by: "event.id", retry: ["1h"],
  }));
}
for (const { id } of made.slice(0, 3)) for (const place of [`webhooks/${id}`, `webhooks/${id}/edit`]) await visit(place);

step("events whose every field is hostile, while the overview shows them");
await watch();
const events = [];
for (const [i, text] of corpus.entries()) {
  events.push((await publish({
    id: ["__proto__", "constructor", "toString"][i], event: i % 2 ? "constructor" : "x".repeat(100), environment: text.slice(0, 40), tenant: text.slice(0, 40), source: `the source ${text.slice(0, 40)}`,
    data: { [text]: text, x: [text, every], ["__proto__"]: text },
  })).id);
}
const tenant = (i) => encodeURIComponent(corpus[i].slice(0, 40));
await page.getByRole("heading", { name: "Now" }).locator("xpath=following-sibling::ol[1]").getByRole("link").nth(3).waitFor();
await harmless("overview");
const raw = await fetch(o.ingest, {
  method: "POST", body: every,
  headers: { "Content-Type": `text/html; charset="<script>executed()</script>"`, "ce-specversion": "1.0", "ce-id": "raw", "ce-type": "constructor", "ce-source": encodeURIComponent(corpus[1]), "ce-environment": encodeURIComponent(corpus[2]) },
});
assert.equal(raw.status, 202, await raw.text());

step("every list, also with hostile filters");
await eventually("deliveries?state=pending", () => page.locator("tbody tr").nth(corpus.length - 1));
for (const place of ["overview", "webhooks", "deliveries", "attempts", "events", "dead-letters", "routes", "allowlist"]) await visit(place);
for (const text of corpus) {
  const q = encodeURIComponent(text);
  await visit(`deliveries?type=${q}&endpoint=${q}&event=${q}`);
  await visit(`events?environment=${q}&type=${q}`);
}
for (const place of ["attempts?outcome=<script>", "attempts?status=<img src=x onerror=executed()>", "deliveries?cursor=<script>", "deliveries?since=javascript:executed()", "dead-letters?endpoint=<script>&type=<script>", "webhooks?cursor=<script>", "webhooks/nobody", "deliveries/__proto__", "events/constructor?tenant=<script>", "<script>executed()</script>", "javascript:executed()", "__proto__"]) {
  await visit(place);
}
await go("deliveries");
await page.getByLabel("Find an id").fill(every);
await page.getByRole("button", { name: "Search" }).click();
await heading("Overview"); // for there is no such place

step("every event and every delivery, with what the receiver answered");
for (const [i, id] of events.entries()) {
  await go(`events/${id}?tenant=${tenant(i)}`);
  await shows(JSON.stringify(corpus[i]));
  await page.getByRole("button", { name: "Explain with the current rules" }).click();
  await page.getByText("rules could apply").waitFor();
  for (const d of await page.locator("main details").all()) await d.evaluate((e) => { e.open = true; });
  await harmless(`event ${id}`);
  await page.getByRole("button", { name: "Raw" }).click();
  await page.locator("tbody").getByRole("link").first().click();
  await page.getByText("Request and response").first().click();
  for (const text of ["X-'evil`", corpus[0], corpus[4]]) await shows(text);
  await harmless(`a delivery of ${id}`);
}
await visit(`events/raw`);

step("a test event, a check and the rules with hostile words");
await go(`webhooks/${made[0].id}`);
await page.getByRole("button", { name: "Send test event" }).click();
await page.getByLabel("Event type").fill("constructor");
await page.getByLabel("Data, as JSON").fill(JSON.stringify({ [every]: every }));
await harmless("the dialog of a test event");
await page.getByRole("button", { name: "Send", exact: true }).click();
await page.getByText("The test event failed.").waitFor();
await harmless("a test event");
await page.getByRole("button", { name: "Check endpoint" }).click();
await page.getByText("Test event", { exact: true }).waitFor();
await harmless("a check");
await page.getByRole("button", { name: "Delete" }).click();
await page.getByLabel(/Type its name/).fill(corpus[1]);
await harmless("the dialog of a deletion");
await page.keyboard.press("Escape");
await go("routes");
await shows(corpus[1]); // in the condition of the configuration's route
for (const text of [`{"event":"constructor","data":{"a":${literal(every)}},"tenant":${literal(corpus[0].slice(0, 40))}}`, every, literal(every)]) {
  await page.getByLabel("Event", { exact: true }).fill(text);
  await page.getByRole("button", { name: "Explain" }).click();
  await page.locator(".toast .note, main .note").first().waitFor();
  await harmless("an explanation");
}

step("the portal of a tenant with a hostile name, in hostile colours");
await page.getByRole("button", { name: "Sign out" }).click();
await page.getByLabel("Access token").waitFor();
for (const i of [0, 4, 12]) {
  const link = await api("POST", `tenants/${tenant(i)}/portal-links`, {});
  await page.goto("about:blank");
  await page.goto(`${new URL(link.url, o.base).href}&accent=${encodeURIComponent("red;background:url(//evil.example)")}&radius=${encodeURIComponent(every)}&text=${encodeURIComponent("url(//evil.example)")}`);
  await heading("Webhooks");
  await page.locator("nav strong", { hasText: corpus[i].slice(0, 40) }).waitFor();
  for (const place of ["overview", "webhooks", `webhooks/${made[i].id}`, "deliveries", "attempts", "events", "dead-letters", "allowlist"]) await visit(place);
  await page.getByRole("button", { name: "Leave" }).click();
  await page.getByLabel("Access token").waitFor();
}

assert.deepEqual(await context.cookies(), []);
await done();
console.log("nothing was executed, and everything is where it was");
