// Clicks through the dashboard of a running gateway in Chromium, as a person who never read a document would:
//
//	node journey.mjs '{"base":…,"token":…,"ingest":…,"good":…,"bad":…,"shots":…}'
//
// base is the dashboard, token opens it, events are published at ingest; good and bad are URLs of receivers of which one takes
// everything and one answers 500. Screenshots of every page at two widths, light and dark, go to shots. The first thing that is
// not as it should be ends it with status 1.

import assert from "node:assert/strict";
import { api, context, done, eventually, go, heading, o, page, publish, shots, step, watch } from "./browser.mjs";

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
await shots("webhooks-first");
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
await page.getByRole("button", { name: "Explain with the current rules" }).click();
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
const delivered = await page.getByRole("table").getByRole("link", { name: "label.created" }).first().getAttribute("href");
await go("deliveries");
await page.getByLabel("Find an id").fill(delivered.split("/").pop());
await page.getByRole("button", { name: "Search" }).click();
await page.getByText("Attempt 1").waitFor();
assert.match(await page.locator("time").first().getAttribute("title"), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC$/);

step("every filter of the logs narrows them, and stands in the address");
const filter = async (place, values, address, row) => {
  await go(place);
  for (const [label, value] of Object.entries(values)) {
    const field = page.getByLabel(label, { exact: true });
    if (await field.evaluate((e) => e.tagName === "SELECT")) await field.selectOption(value);
    else await field.fill(value);
  }
  await page.getByRole("button", { name: "Search" }).click();
  await page.waitForURL(address);
  if (row) await page.getByRole("row", { name: row }).first().waitFor();
  else await page.getByText(/matches\./).waitFor();
};
const minute = (ms) => { const d = new Date(Date.now() + ms); return new Date(d - d.getTimezoneOffset() * 60000).toISOString().slice(0, 16); };
const since = minute(-3600000), until = minute(3600000);
await filter("deliveries", { State: "delivered", Endpoint: good, "Event type": "label.created", From: since, To: until }, /state=delivered&endpoint=.*&type=label.created&since=.*&until=/, /journey-1 Order system delivered/);
await filter("deliveries", { State: "cancelled" }, /state=cancelled/);
await filter("deliveries", { To: since }, /until=/);
await filter("attempts", { Endpoint: good, Outcome: "delivered", "Status, such as 5xx": "2xx", From: since, To: until }, /endpoint=.*&outcome=delivered&status=2xx&since=.*&until=/, /label.created try 1 Order system 200 delivered/);
await filter("attempts", { "Status, such as 5xx": "5xx" }, /status=5xx/);
await filter("events", { "Event type": "label.created", Environment: "production", Routing: "routed", From: since, To: until }, /type=label.created&environment=production&routing=routed&since=.*&until=/, /journey-1 production/);
await filter("events", { Environment: "sandbox" }, /environment=sandbox/);

step("pause: events wait; resume: they arrive");
await go(`webhooks/${good}`);
await page.getByRole("button", { name: "Pause" }).click();
await page.getByText("is paused").first().waitFor();
await publish({ id: "journey-3", event: "label.created", data: { label_id: "lbl_3" } });
await eventually(`webhooks/${good}`, () => page.getByRole("heading", { name: "Waiting" }));
await page.getByRole("button", { name: "Resume" }).click();
await eventually("deliveries?event=journey-3", () => page.locator(".tag.ok", { hasText: "delivered" }));

step("a webhook that fails and has a backup: its page tells where deliveries go, theirs how they went; the one that waits is cancelled");
await publish({ id: "journey-fails", event: "order.fulfilled", data: { order_id: "ord_1" } });
await eventually("webhooks/warehouse", () => page.getByText("its circuit breaker is open"));
await publish({ id: "journey-over", event: "order.fulfilled", data: { order_id: "ord_2" } });
await eventually("deliveries?event=journey-over", () => page.getByRole("row", { name: /Warehouse now at Standby delivered/ }));
await page.getByRole("link", { name: "order.fulfilled" }).click();
for (const text of ["Moved", "200 delivered"]) await page.getByText(text).waitFor();
await shots("delivery-moved");
await page.getByRole("link", { name: "Warehouse" }).first().click();
await heading("Warehouse");
await page.getByText(/Deliveries go to Standby now. The next probe of this endpoint is due in .*; when it succeeds, they come here again/).waitFor();
const chain = page.getByRole("heading", { name: "Failover" }).locator("xpath=following-sibling::ol[1]");
assert.deepEqual((await chain.getByRole("listitem").allInnerTexts()).map((t) => t.split("\n")[0]), ["Warehouse breaker open", "Standby healthy", "Dead letter"]);
await shots("webhook-failover");
await chain.getByRole("link", { name: "Standby" }).click();
await heading("Standby");
await page.getByRole("row", { name: /order.fulfilled try 1 200 delivered/ }).waitFor();
await go("deliveries?event=journey-fails");
await page.getByRole("link", { name: "order.fulfilled" }).click();
await page.getByText(/next attempt .* \(in \d+ min\)/).waitFor();
await shots("delivery-waiting");
await page.getByRole("button", { name: "Cancel" }).click();
await page.getByText("cancelled", { exact: true }).waitFor();

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
await eventually("dead-letters", () => page.locator("tbody tr").nth(2));
await shots("dead-letters");
await page.getByLabel("Choose all on this page").check();
assert.equal(await page.getByRole("checkbox", { name: /^Choose dlv_/, checked: true }).count(), 3);
await page.getByLabel("Choose all on this page").uncheck();
await page.getByRole("checkbox", { name: /^Choose dlv_/ }).last().check();
await page.getByRole("button", { name: "Redeliver chosen" }).click();
await page.getByText("They are sent again.").waitFor();
await eventually("attempts?status=500", () => page.getByRole("row", { name: /shipment.exception/ }).nth(3));
await eventually("dead-letters", () => page.locator("tbody tr").nth(2)); // it died again, and the one before counts no more
await page.getByRole("link", { name: "shipment.exception" }).first().click();
await page.getByText("500 server error").waitFor();
await page.getByText("every attempt of its schedule failed").waitFor();
await page.getByRole("img", { name: /answer/ }).waitFor(); // the timing bar
await page.getByText("Request and response").click();
for (const text of ["Webhook-Id: journey-dead-", "Content-Type: text/plain", "<script>executed()"]) await page.getByText(text, { exact: false }).first().waitFor();
await shots("dead-letter");
await watch();
await page.getByRole("link", { name: "3 dead letters" }).waitFor();
for (const [label, value] of [["Events a minute", /^\d/], ["Success rate", /%|–/], ["Latency, p95", /s$|–/], ["Pending", /^\d/], ["Oldest due", /./], ["Dead letters", /^3$/], ["Store", /B$/]]) {
  assert.match(await page.locator(".card", { has: page.getByText(label, { exact: true }) }).locator(".value").innerText(), value, label);
}
for (const drawn of ["Events", "Failed attempts", "Latency"]) await page.getByRole("img", { name: `${drawn} by the minute, last hour` }).waitFor();
const worst = await page.locator(".alarms a").allInnerTexts();
assert.deepEqual(worst, ["Warehouse", "Shipment alerts", "3 dead letters"], "what is wrong does not come first, the worst of it before the rest");
assert.equal((await page.getByRole("row").nth(1).innerText()).split("\t")[0], "Warehouse");
await publish({ id: "journey-live", event: "label.created", data: { label_id: "lbl_5" } });
await page.getByRole("heading", { name: "Now" }).locator("xpath=following-sibling::ol[1]").getByText("label.created → Order system 200 delivered").waitFor();
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
await page.getByRole("progressbar", { name: "Progress" }).waitFor();
await page.getByText("None is left here.").waitFor();
await shots("replay");
await eventually(`deliveries?endpoint=${bad}&state=pending`, () => page.getByText("No delivery matches"));
await go("dead-letters");
await page.getByText("There are no dead letters").waitFor();
await shots("dead-letters-none");
await go("overview");
await page.getByRole("link", { name: "Warehouse" }).first().waitFor();
assert.equal(await page.getByRole("link", { name: /dead letters?$/ }).count(), 0, "what was replayed is still an alarm");
await go("dead-letters");
await page.getByRole("link", { name: "all of them" }).click();
await page.getByRole("row", { name: /shipment.exception journey-dead-0/ }).nth(1).waitFor();

await go(`webhooks/${bad}`);
await page.getByRole("img", { name: /Attempts of the last day: 3 succeeded, 4 failed/ }).waitFor();
await shots("webhook-mended");

step("a webhook that answers 410 is disabled, and the list says why; it can be resumed");
await api("POST", "endpoints", { url: o.gone, events: ["label.voided"], description: "Label printer" });
await publish({ id: "journey-gone", event: "label.voided", data: { label_id: "lbl_6" } });
await eventually("webhooks", () => page.getByRole("row", { name: /Label printer .* disabled it answered 410 Gone/ }));
for (const state of ["breaker open until", "healthy"]) await page.getByRole("row", { name: state }).first().waitFor();
await shots("webhooks");
await page.getByRole("link", { name: "Label printer" }).click();
await page.getByText("This webhook is disabled, it answered 410 Gone.").waitFor();
await page.getByRole("button", { name: "Resume" }).click();
await page.getByText("This webhook is disabled").waitFor({ state: "detached" });

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
const clipboard = () => page.evaluate(() => navigator.clipboard.readText());
const notice = page.locator(".note", { hasText: "127.0.0.9/32 joins on 2099-01-01. Let it in before that day." });
await notice.getByRole("button", { name: "Copy" }).click();
assert.equal(await clipboard(), "127.0.0.9/32");
await page.getByRole("row", { name: /127.0.0.9\/32 from 2099-01-01/ }).waitFor();
await page.getByRole("row", { name: /127.0.0.1\/32/ }).getByRole("button", { name: "Copy" }).click();
assert.equal(await clipboard(), "127.0.0.1/32");
await page.getByRole("button", { name: "Copy all" }).click();
assert.equal(await clipboard(), "127.0.0.1/32\n127.0.0.9/32");
await shots("allowlist");

step("customer mode: a portal link shows one tenant and no more");
const link = await api("POST", "tenants/acme/portal-links", {});
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
const again = await api("POST", "tenants/acme/portal-links", {});
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

await done();
console.log("all journeys made");
