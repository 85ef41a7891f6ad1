// What the programs that click through the dashboard share: a Chromium that notes every fault of the page, and ways to look.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { chromium } from "playwright-core";

/** o are the program's options, one JSON object: base is the dashboard, token opens it, events are published at ingest. */
export const o = JSON.parse(process.argv[2]);
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const browser = await chromium.launch({
  executablePath: o.chromium,
  args: ["--test-third-party-cookie-phaseout", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
export const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: new URL(o.base).origin });
export const page = await context.newPage();
page.setDefaultTimeout(30000); // a machine that runs every test at once is slow

/** faults are what must never happen: errors of the page's scripts, dialogs, and what its policy had to forbid. */
export const faults = [];
page.on("pageerror", (e) => faults.push(`script: ${e.message}`));
page.on("console", (m) => { if (m.type() === "error" && !/status of (400|401|404|409|422|428)/.test(m.text())) faults.push(`console: ${m.text()}`); });
page.on("dialog", (d) => { faults.push(`dialog: ${d.message()}`); d.dismiss(); });
await page.exposeFunction("executed", () => { faults.push("hostile text was executed"); });
await page.exposeFunction("violated", (what) => { faults.push(`against the policy: ${what}`); });
await page.addInitScript(() => document.addEventListener("securitypolicyviolation", (e) => window.violated(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`)));

export const step = (name) => console.log(`${(performance.now() / 1000).toFixed(1).padStart(6)} s — ${name}`);

/** go opens a place and waits until it is no longer the one before that stands there. */
export async function go(place) {
  const url = `${o.base}#/${place}`;
  await page.evaluate(() => document.querySelector("main")?.setAttribute("data-left", ""));
  if (page.url() === url) await page.reload();
  else await page.goto(url);
  await page.locator("main:not([data-left]) h1").first().waitFor();
}

export const heading = (text) => page.getByRole("heading", { level: 1, name: text }).waitFor();

/** watch opens the overview, and waits until it is told what happens. */
export async function watch() {
  const stream = page.waitForResponse((r) => r.url().includes("/api/stream"));
  await go("overview");
  await stream;
}

/** signIn shows the token. */
export async function signIn() {
  await page.goto(o.base);
  await page.getByLabel("Access token").fill(o.token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await heading("Overview");
}

/** api calls the management API and wants it done. */
export async function api(method, place, body) {
  const r = await fetch(`${o.base}api/${place}`, { method, headers: { Authorization: `Bearer ${o.token}`, "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
  const text = await r.text();
  assert.ok(r.ok, `${method} ${place} answered ${r.status} ${text}`);
  return JSON.parse(text);
}

export async function publish(event, headers = {}) {
  const r = await fetch(o.ingest, { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(event) });
  assert.ok(r.status === 202 || r.status === 200, `publishing answered ${r.status} ${await r.clone().text()}`);
  return r.json();
}

/** eventually reloads a place until what is looked for is there: deliveries take their time. */
export async function eventually(place, locator) {
  for (let i = 0; i < 60; i++) {
    await go(place);
    if (await locator().count()) return;
    await page.waitForTimeout(250);
  }
  assert.fail(`${place} never showed what it should:\n${await page.locator("main").innerText()}`);
}

/** fits tells that nothing is wider than the page, but for what can be scrolled by itself. */
export async function fits(name, width) {
  const wide = await page.evaluate(() => [
    ...(document.documentElement.scrollWidth > document.documentElement.clientWidth ? ["the page itself"] : []),
    ...[...document.querySelectorAll("body *")].filter((e) => !e.parentElement.closest(".scroll, pre, svg, select, .skip") && e.getBoundingClientRect().right > innerWidth + 1)
      .map((e) => `${e.tagName} ${e.className}: ${e.textContent.slice(0, 60)}`),
  ]);
  assert.deepEqual(wide, [], `${name} is wider than ${width} pixels`);
}

/** accessible runs axe over the page as it is, by the debugger's protocol: the page's own policy lets no foreign script in. */
async function accessible(name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter((v) => ["serious", "critical"].includes(v.impact));
  assert.deepEqual(serious.map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(", ")}`), [], `${name} is not accessible`);
}

/** shots looks at a page at both widths, light and dark, and keeps what it saw. What is said in passing is not waited for. */
export async function shots(name) {
  await page.evaluate(() => document.querySelectorAll(".toast .note").forEach((n) => n.remove()));
  await page.mouse.move(0, 0);
  for (const [width, height] of [[1440, 900], [360, 740]]) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await fits(name, width);
      await accessible(`${name} at ${width}, ${colorScheme}`);
      await page.screenshot({ path: path.join(o.shots, `${name}-${width}-${colorScheme}.png`), fullPage: true });
    }
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.emulateMedia({ colorScheme: "light" });
}

/** done ends the program; with a fault it fails. */
export async function done() {
  assert.deepEqual(faults, []);
  await browser.close();
}
