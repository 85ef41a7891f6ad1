// Does with keys alone what a customer does: add a webhook, send a test event, read the log, pause, delete with confirmation.
//
//	node keyboard.mjs '{"base":…,"token":…,"chromium":…,"good":…}'
//
// Whatever has the focus must be seen to have it.

import assert from "node:assert/strict";
import { done, heading, o, page, step } from "./browser.mjs";

const press = (key) => page.keyboard.press(key);
const type = (text) => page.keyboard.type(text);

/** seen tells what is wrong with how the focus is shown: it has an outline, and stands where it can be seen. */
const seen = () => page.evaluate(() => {
  const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
  if (e === document.body) return "";
  const name = `${e.tagName} ${e.textContent.slice(0, 40)}`;
  if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) return `${name} shows no focus`;
  if (box.width < 1 || box.height < 1 || box.bottom <= 0 || box.right <= 0 || box.top >= innerHeight || box.left >= innerWidth) return `${name} has the focus out of sight`;
  return "";
});

/** to presses Tab, or Shift+Tab, until an element has the focus. */
async function to(locator, key = "Tab") {
  await locator.waitFor();
  for (let i = 0; i < 60; i++) {
    await press(key);
    assert.equal(await seen(), "");
    if (await locator.evaluate((e) => e === document.activeElement)) return;
  }
  assert.fail(`${key} never comes to ${locator}`);
}

const button = (name) => page.getByRole("button", { name, exact: true });
const link = (name) => page.getByRole("link", { name, exact: true });

step("sign in: the field has the focus");
await page.goto(o.base);
await page.getByLabel("Access token").waitFor();
await type(o.token);
await press("Enter");
await heading("Overview");

step("the first link skips the navigation");
await page.reload();
await heading("Overview");
await page.evaluate(() => document.activeElement.blur());
await to(link("Skip to content"), "Shift+Tab");
await press("Enter");
assert.equal(await page.evaluate(() => document.activeElement.id), "main");
await heading("Overview");

step("add a webhook");
await to(link("Webhooks"), "Shift+Tab");
await press("Enter");
await heading("Webhooks");
await to(link("Add Webhook"));
await press("Enter");
await heading("Add webhook");
await to(page.getByLabel("Endpoint URL"));
await type(o.good);
await to(page.getByRole("checkbox", { name: "label.created" }));
await press("Space");
await to(page.getByLabel("Name", { exact: false }).first());
await type("By keys");
await to(page.getByText("Advanced options"));
await press("Space");
await to(page.getByLabel("Rate limit", { exact: false }));
await type("1000/m burst 100");
await to(button("Save configuration"));
await press("Enter");
await heading("Webhook added");
await to(link("Go on to the webhook"));
await press("Enter");
await heading("By keys");

step("send a test event: Escape leaves the dialog, and the focus where it was");
await to(button("Send test event"));
await press("Enter");
await page.getByRole("dialog", { name: "Send test event" }).waitFor();
await to(button("Send"));
await press("Escape");
await page.getByRole("dialog").waitFor({ state: "detached" });
assert.equal(await button("Send test event").evaluate((e) => e === document.activeElement), true, "the focus is lost");
await press("Space");
await page.getByRole("dialog", { name: "Send test event" }).waitFor();
await to(page.getByLabel("Data, as JSON"));
await type('{"label_id":"lbl_key"}');
await to(page.getByLabel("Event type"), "Shift+Tab");
await type("label.created");
await to(button("Send"));
await press("Enter");
await page.getByText("The test event was accepted.").waitFor();
assert.equal(await button("Send test event").evaluate((e) => e === document.activeElement), true, "the focus is lost");

step("read the log");
await to(link("Details"));
await press("Enter");
await heading("label.created");
await to(page.getByText("Request and response"));
await press("Enter");
await page.getByText("X-Atoship-Test: true").waitFor();
await to(button("Raw"));
await press("Space");
await page.getByText('"data":{"label_id":"lbl_key"}').waitFor();
await to(link("By keys").first(), "Shift+Tab");
await press("Enter");
await heading("By keys");

step("pause and resume");
await to(button("Pause"));
await press("Space");
await page.getByText("This webhook is paused").waitFor();
await to(button("Resume"));
await press("Enter");
await page.getByText("This webhook is healthy").waitFor();
await to(button("Pause"));
await press("Enter");
await page.getByText("This webhook is paused").waitFor();

step("delete: Escape keeps it, its name deletes it");
await to(button("Delete"));
await press("Enter");
const dialog = page.getByRole("dialog", { name: "Delete By keys?" });
await dialog.waitFor();
await press("Escape");
await dialog.waitFor({ state: "detached" });
assert.equal(await button("Delete").evaluate((e) => e === document.activeElement), true, "the focus is lost");
await press("Enter");
await dialog.waitFor();
assert.equal(await dialog.getByLabel(/Type its name/).evaluate((e) => e === document.activeElement), true);
await type("By keys");
await press("Enter");
await heading("Webhooks");
assert.equal(await link("By keys").count(), 0);

step("choose an event in the logs and sign out");
await to(link("Logs"), "Shift+Tab");
await press("Enter");
await heading("Logs");
await to(page.getByLabel("Find an id"));
await to(button("Sign out"), "Shift+Tab");
await press("Space");
await page.getByLabel("Access token").waitFor();

await done();
console.log("all done by keys");
