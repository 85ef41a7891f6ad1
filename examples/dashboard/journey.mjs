// Clicks through the dashboard of a running gateway in Chromium, as a person who never read a document would:
//
//	node journey.mjs '{"base":…,"token":…,"ingest":…,"good":…,"bad":…,"shots":…}'
//
// base is the dashboard, token opens it, events are published at ingest; good and bad are URLs of receivers of which one takes
// everything and one answers 500. Screenshots of every page at two widths, light and dark, go to shots. The first thing that is
// not as it should be ends it with status 1.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { chromium } from "playwright-core";

const o = JSON.parse(process.argv[2]);
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({
  executablePath: o.chromium,
  args: ["--test-third-party-cookie-phaseout", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: new URL(o.base).origin });
const page = await context.newPage();
page.setDefaultTimeout(15000);
const faults = [];
page.on("pageerror", (e) => faults.push(`script: ${e.message}`));
page.on("console", (m) => { if (m.type() === "error" && !/status of (401|409|422|428)/.test(m.text())) faults.push(`console: ${m.text()}`); });
page.on("dialog", (d) => { faults.push(`dialog: ${d.message()}`); d.dismiss(); });
await page.addInitScript(() => { window.executed = () => { throw new Error("hostile text was executed"); }; });

const step = (name) => console.log(`— ${name}`);
const go = async (place) => { await page.goto(`${o.base}#/${place}`); await page.locator("h1").first().waitFor(); };
const heading = (text) => page.getByRole("heading", { level: 1, name: text }).waitFor();

async function publish(event, headers = {}) {
  const r = await fetch(o.ingest, { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(event) });
  assert.ok(r.status === 202 || r.status === 200, `publishing answered ${r.status} ${await r.clone().text()}`);
  return r.json();
}

/** eventually reloads a place until what is looked for is there: deliveries take their time. */
async function eventually(place, locator) {
  for (let i = 0; i < 60; i++) {
    await go(place);
    await page.reload();
    await page.locator("h1").first().waitFor();
    if (await locator().count()) return;
    await page.waitForTimeout(250);
  }
  assert.fail(`${place} never showed what it should:\n${await page.locator("main").innerText()}`);
}

/** accessible runs axe over the page as it is, by the debugger's protocol: the page's own policy lets no foreign script in. */
async function accessible(name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter((v) => ["serious", "critical"].includes(v.impact));
  assert.deepEqual(serious.map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(", ")}`), [], `${name} is not accessible`);
}

async function shots(name) {
  for (const [width, height] of [[1440, 900], [360, 740]]) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
      assert.equal(wide, false, `${name} is wider than ${width} pixels`);
      await accessible(`${name} at ${width}, ${colorScheme}`);
      await page.screenshot({ path: path.join(o.shots, `${name}-${width}-${colorScheme}.png`), fullPage: true });
    }
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.emulateMedia({ colorScheme: "light" });
}

step("sign in: a wrong token is refused, a right one opens the overview");
await page.goto(o.base);
await page.getByLabel("Access token").fill("wrong");
await page.getByRole("button", { name: "Sign in" }).click();
await page.getByText("opens nothing here").waitFor();
await shots("sign-in");
await page.getByLabel("Access token").fill(o.token);
await page.getByRole("button", { name: "Sign in" }).click();
await heading("Overview");
const cookies = await context.cookies();
assert.ok(cookies.every((c) => c.httpOnly && c.sameSite === "Strict" && !c.value.includes(o.token)), "the session's cookie can be read or sent by others");

step("Settings → Webhooks → Add Webhook → URL → events → Save");
await page.getByRole("link", { name: "Webhooks", exact: true }).click();
await heading("Webhooks");
await shots("webhooks-empty");
await page.getByRole("link", { name: "Add Webhook" }).first().click();
await heading("Add webhook");
await page.getByLabel("Endpoint URL").fill(o.good);
await page.getByRole("checkbox", { name: "label.created" }).check();
await page.getByRole("checkbox", { name: "order.imported" }).check();
await page.getByLabel("Name", { exact: false }).first().fill("Order system");
await shots("add-webhook");
await page.getByRole("button", { name: "Save configuration" }).click();
await heading("Webhook added");
const secret = await page.locator("#secret").innerText();
assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
await page.getByRole("button", { name: "Copy", exact: true }).first().click();
assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
await shots("webhook-added");
for (const language of ["Go", "Python", "PHP", "Ruby"]) {
  await page.getByLabel("Language").selectOption(language);
  assert.ok((await page.locator("pre").first().innerText()).includes(secret.replace("whsec_", "")), `${language} has no secret filled in`);
}
await page.getByRole("link", { name: "Go on to the webhook" }).click();
await heading("Order system");
const good = (await page.evaluate(() => location.hash)).split("/").pop();
assert.ok(!(await page.locator("body").innerText()).includes(secret), "the secret is shown again");

step("send a test event and see its answer");
await page.getByRole("button", { name: "Send test event" }).click();
await page.getByRole("button", { name: "Send", exact: true }).click();
await page.getByText("The test event was accepted.").waitFor();

step("check the endpoint");
await page.getByRole("button", { name: "Check endpoint" }).click();
await page.getByText("Endpoint check").waitFor();
await page.getByText("does not verify signatures").waitFor();
await shots("webhook");

step("publish events, hostile ones too, and find them in the logs");
const evil = '"><script>executed()</script><img src=x onerror=executed()>';
const trace = "0af7651916cd43dd8448eb211c80319c";
await publish({ id: "journey-1", event: "label.created", data: { label_id: "lbl_1", note: evil } }, { traceparent: `00-${trace}-b7ad6b7169203331-01` });
await publish({ id: "journey-2", event: "label.voided", data: { label_id: "lbl_2", [evil]: evil } });
await eventually("deliveries?event=journey-1", () => page.locator(".tag.ok", { hasText: "delivered" }));
await shots("deliveries");
await page.getByRole("link", { name: "label.created" }).first().click();
await page.getByText("Attempt 1").waitFor();
assert.equal(await page.getByRole("link", { name: trace }).getAttribute("href"), `https://traces.example.com/${trace}`);
await page.getByText("Request and response").first().click();
assert.ok((await page.locator("pre").last().innerText()).includes("executed()"), "the payload is not shown");
await page.getByRole("button", { name: "Raw" }).click();
await shots("delivery");
await page.getByRole("button", { name: "Redeliver" }).click();
await page.getByText("sent once more").waitFor();
await go("events/journey-1");
await page.getByRole("button", { name: "Explain with the rules of now" }).click();
await page.getByText("rules could apply").waitFor();
await shots("event");
await go("attempts?outcome=delivered");
await shots("attempts");
await go("events?routing=unrouted");
await page.getByText("journey-2").waitFor();
await shots("events");
await go("deliveries");
await page.getByLabel("Find an id").fill("journey-1");
await page.getByRole("button", { name: "Search" }).click();
await heading("label.created");

step("pause: events wait; resume: they arrive");
await go(`webhooks/${good}`);
await page.getByRole("button", { name: "Pause" }).click();
await page.getByText("is paused").first().waitFor();
await publish({ id: "journey-3", event: "label.created", data: { label_id: "lbl_3" } });
await eventually(`webhooks/${good}`, () => page.getByRole("heading", { name: "Waiting" }));
await page.getByRole("button", { name: "Resume" }).click();
await eventually("deliveries?event=journey-3", () => page.locator(".tag.ok", { hasText: "delivered" }));

step("a webhook that fails: found on the overview, its dead letters replayed once it is mended");
await go("webhooks/new");
await page.getByLabel("Endpoint URL").fill(o.bad);
await page.getByLabel(/event types/i).last().fill("shipment.*");
await page.getByLabel("Name", { exact: false }).first().fill("Shipment alerts");
await page.getByRole("button", { name: "Save configuration" }).click();
await page.getByRole("link", { name: "Go on to the webhook" }).click();
await heading("Shipment alerts");
const bad = (await page.evaluate(() => location.hash)).split("/").pop();
for (let i = 0; i < 3; i++) await publish({ id: `journey-dead-${i}`, event: "shipment.exception", data: { tracking_number: `94-${i}`, reason: "address_issue" } });
await eventually("dead-letters", () => page.locator("tbody tr"));
await shots("dead-letters");
await page.getByRole("link", { name: "shipment.exception" }).first().click();
await page.getByText("500 server error").waitFor();
await page.getByRole("img", { name: /answer \d/ }).waitFor(); // the timing bar
await page.getByText("Request and response").click();
for (const text of ["Webhook-Id: journey-dead-", "Content-Type: text/plain", "<script>executed()"]) await page.getByText(text, { exact: false }).first().waitFor();
await shots("dead-letter");
await go("overview");
await page.getByRole("link", { name: "3 dead letters" }).waitFor();
await shots("overview");
await page.getByRole("link", { name: /dead letters/ }).first().click();
await heading("Dead letters");
await fetch(o.mend, { method: "POST" });
await go(`webhooks/${bad}`);
await page.getByRole("button", { name: "Send test event" }).click();
await page.getByRole("button", { name: "Send", exact: true }).click();
await page.getByText("The test event was accepted.").waitFor();
await go(`dead-letters?endpoint=${bad}`);
await page.getByRole("button", { name: "Replay many…" }).click();
await page.getByRole("button", { name: "Count first" }).click();
await page.getByRole("button", { name: "Replay 3" }).click();
await page.getByText(/Replay .*: done/).waitFor();

await go(`webhooks/${bad}`);
await page.getByRole("img", { name: /Attempts of the last day: 3 succeeded, 3 failed/ }).waitFor();
await shots("webhook-mended");

step("change, rotate, show, delete with its name");
await go(`webhooks/${good}/edit`);
await page.getByLabel("Name", { exact: false }).first().fill("Orders");
await page.getByText("Advanced options").click();
await page.getByLabel("Rate limit", { exact: false }).fill("1000/m burst 100");
await shots("change-webhook");
await page.getByRole("button", { name: "Save" }).click();
await heading("Orders");
await page.getByText("1000/m").first().waitFor();
await page.getByRole("button", { name: "Rotate secret" }).click();
await page.getByRole("button", { name: "Rotate", exact: true }).click();
const next = await page.locator("#secret").innerText();
assert.notEqual(next, secret);
await page.reload();
await heading("Orders");
await page.getByRole("button", { name: "Show secret" }).click();
await page.getByRole("button", { name: "Show", exact: true }).click();
assert.equal(await page.locator("#secret").innerText(), next);
await page.reload();
await heading("Orders");
await page.getByRole("button", { name: "Delete" }).click();
await page.getByLabel(/Type its name/).fill("wrong");
await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
await page.getByText("nothing was deleted").waitFor();
await page.getByRole("button", { name: "Delete" }).click();
await page.getByLabel(/Type its name/).fill("Orders");
await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
await heading("Webhooks");
await page.getByText("Orders").waitFor({ state: "detached" });

step("routes with what they did, IP allowlist");
await publish({ id: "journey-rare", event: "order.canceled", data: { order_id: "ord_9", canceled_by: "buyer" } });
await go("routes");
await page.getByRole("row", { name: /^rare 1 last/ }).waitFor();
await page.getByRole("button", { name: "Explain" }).click();
await page.getByText("rules could apply").waitFor();
await shots("routes");
await go("allowlist");
await page.getByText("127.0.0.1/32").first().waitFor();
await page.getByRole("button", { name: "Copy all" }).click();
await shots("allowlist");

step("by keyboard alone");
await go("webhooks");
await page.keyboard.press("Tab");
assert.equal(await page.evaluate(() => document.activeElement.matches("a, button, [tabindex]")), true);

step("customer mode: a portal link shows one tenant and no more");
const link = await (await fetch(`${o.base}api/tenants/acme/portal-links`, { method: "POST", headers: { Authorization: `Bearer ${o.token}`, "Content-Type": "application/json" }, body: "{}" })).json();
await page.getByRole("button", { name: "Sign out" }).click();
await page.getByLabel("Access token").waitFor();
await page.goto("about:blank");
await page.goto(new URL(link.url, o.base).href + "&accent=%23aa3377");
await heading("Webhooks");
assert.equal(await page.getByRole("link", { name: "Routes" }).count(), 0);
assert.equal(await page.getByText("Shipment alerts").count(), 0);
assert.ok(!page.url().includes("token="), "the portal's token stays in the address bar");
await shots("portal");
await go("deliveries");
await page.getByText("No delivery matches").waitFor();
assert.equal(await page.getByText("journey-1").count(), 0);

step("the portal's customer adds a webhook, and sees on its own overview how it does");
await go("webhooks/new");
await page.getByLabel("Endpoint URL").fill(o.good);
await page.getByLabel("All events").check();
await page.getByLabel("Name", { exact: false }).first().fill("Shop floor");
await page.getByRole("button", { name: "Save configuration" }).click();
await heading("Webhook added");
await publish({ id: "journey-acme", event: "label.created", tenant: "acme", data: { label_id: "lbl_4" } });
await eventually("deliveries", () => page.getByRole("row", { name: /label.created journey-acme Shop floor delivered/ }));
await go("overview");
await page.getByRole("img", { name: "Attempts of the last day: 1 succeeded, 0 failed" }).waitFor();
await page.getByText("Nothing is wrong").waitFor();
await page.getByText("Dead letters").last().waitFor();
await shots("portal-overview");

step("the portal outlives a reload, in its tab alone, and can be left; a link that has ended says so");
await page.reload();
await heading("Overview");
await page.locator("nav strong", { hasText: "acme" }).waitFor();
assert.equal(await page.evaluate(() => document.documentElement.style.getPropertyValue("--accent")), "#aa3377");
const other = await context.newPage();
await other.goto(o.base);
await other.getByLabel("Access token").waitFor();
await other.close();
await page.getByRole("button", { name: "Leave" }).click();
await page.getByLabel("Access token").waitFor();
await page.reload();
await page.getByLabel("Access token").waitFor();
await page.goto("about:blank");
await page.goto(`${o.base}#/portal?token=whtok_ended`);
await heading("This link has ended");

step("in a frame of another site, whose browser takes no cookies there: the customer stays in over a reload");
const again = await (await fetch(`${o.base}api/tenants/acme/portal-links`, { method: "POST", headers: { Authorization: `Bearer ${o.token}`, "Content-Type": "application/json" }, body: "{}" })).json();
await page.goto(`${o.shop}/?portal=${encodeURIComponent(new URL(again.url, o.base).href)}`);
const frame = page.frames().find((f) => f.url().startsWith(o.base));
await frame.getByRole("heading", { level: 1, name: "Webhooks" }).waitFor();
await frame.getByRole("link", { name: "Shop floor" }).waitFor();
assert.equal(await frame.getByRole("button", { name: "Leave" }).count(), 0);
await frame.getByRole("link", { name: "Logs" }).click();
await frame.getByRole("heading", { level: 1, name: "Logs" }).waitFor();
await frame.evaluate(() => { window.before = true; location.reload(); }).catch(() => {});
await frame.waitForFunction(() => !window.before);
await frame.getByRole("row", { name: /journey-acme Shop floor delivered/ }).waitFor();
await frame.getByRole("link", { name: "Webhooks", exact: true }).click();
await frame.getByRole("link", { name: "Shop floor" }).waitFor();
assert.ok(!frame.url().includes("token="), "the token stays in the frame's address");
assert.deepEqual(await context.cookies(), []);

assert.deepEqual(faults, []);
await browser.close();
console.log("all journeys made");
