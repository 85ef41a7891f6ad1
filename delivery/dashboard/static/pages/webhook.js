// One webhook: how it is, whether it can be reached, what it got.

import { acting, ask, bars, copy, facts, fill, h, number, outcomeTag, page, refill, span, tag, time, toast } from "../ui.js";
import { endpointNames, forgetNames, get, getWithTag, post, query, remove } from "../api.js";
import { attemptTable, deliveryTable } from "./logs.js";
import { counted } from "./overview.js";
import { health, pausing, secretPanel } from "./webhooks.js";

const refresh = 10000; // ms

export async function webhook({ me, params: [id], signal, again }) {
  const [{ value: e, etag }, names] = await Promise.all([getWithTag(`endpoints/${id}`), endpointNames().then((all) => new Map(all))]);
  const backups = await Promise.all(e.backups.map((b) => get(`endpoints/${b}`).catch(() => null)));
  const day = h("div", {}), lists = h("div", {});
  const update = async () => {
    const [today, attempts, waiting] = await Promise.all([get(`activity${query({ endpoint: id })}`), get(`attempts${query({ endpoint: id, limit: "20" })}`),
      get(`deliveries${query({ endpoint: id, state: "pending", limit: "10" })}`)]);
    refill(day, today, () => lately(today, e));
    refill(lists, [attempts.items, waiting.items], () => latest(attempts.items, waiting.items, names, id));
  };
  await update();
  const timer = setInterval(() => { if (!document.hidden) update().catch(() => {}); }, refresh);
  signal.addEventListener("abort", () => clearInterval(timer));

  const state = health(e);
  const operator = me.role === "operator";
  const result = h("section", { "aria-live": "polite" });
  const button = (text, does) => h("button", { type: "button", onclick: acting(does) }, text);
  return [
    page(e.description || e.id, ["Settings / ", h("a", { href: "#/webhooks" }, "Webhooks")],
      operator && e.state !== "removed" ? [
        button("Send test event", async () => { const sent = await testOne(id, result); if (sent) { fill(result, testResult(sent)); await update(); } }),
        button("Check endpoint", async () => { fill(result, h("p", { class: "quiet" }, "Checking name, connection, certificate and answer…")); fill(result, checkResult(await post(`endpoints/${id}/check`))); }),
        pausing(e, again)] : null),
    h("div", { class: `note ${state.kind}` }, h("strong", {}, `This webhook ${state.text}`, state.more ? "" : "."), state.more ? [", ", state.more, "."] : null),
    result,
    facts(["URL", h("span", { class: "mono" }, e.url ?? "")], ["Id", [h("code", {}, e.id), " ", copy(e.id, "Copy", true)]],
      ["Events", e.settings?.events ? e.settings.events.map((t) => [h("code", {}, t), " "]) : null], ["Condition", e.settings?.when ? h("code", {}, e.settings.when) : null],
      ["Tenant", e.tenant], ["Environments", (e.settings?.environment ?? []).join(", ")], ["Rate limit", e.rate_limit],
      ["Attempts at once", `${number(e.concurrency.in_flight)} in flight, ${number(e.concurrency.now)} of ${e.concurrency.limit || "–"} open to it now`],
      ["Circuit breaker", e.breaker.state.replaceAll("_", " ")],
      ["Comes from", e.source === "api" ? ["this page or the API, ", time(e.created)] : "the gateway’s configuration, where it is changed"]),
    operator && e.source === "api" ? h("p", { class: "row" }, h("a", { class: "button", href: `#/webhooks/${id}/edit` }, "Change"),
      button("Rotate secret", () => rotate(id, result)), button("Show secret", () => reveal(id, result)),
      h("button", { type: "button", class: "danger", onclick: acting(() => erase(e, etag)) }, "Delete")) : null,
    h("h2", {}, "Last 24 hours"), day,
    e.backups.length ? [h("h2", {}, "Failover"), failover(e, backups)] : null,
    lists,
  ];
}

/** lately draws the last day's attempts, and counts what is kept. */
function lately(today, e) {
  const n = today.deliveries;
  return [bars(today.steps, today.step_seconds),
    h("p", { class: "small" }, `${number(n.delivered)} delivered, `, h("a", { href: `#/deliveries?endpoint=${e.id}&state=pending` }, `${number(n.pending)} pending`),
      today.oldest_due ? [" (the oldest is due ", time(today.oldest_due, "ago"), ")"] : null, ", ",
      h("a", { href: `#/dead-letters?endpoint=${e.id}` }, `${counted(today)} dead ${today.dead_letters === 1 ? "letter" : "letters"}`), n.cancelled ? `, ${number(n.cancelled)} cancelled` : "")];
}

/** failover tells which way deliveries go when this endpoint fails, and which way they go now. */
function failover(e, backups) {
  const step = (id, other, text) => {
    const state = other ? health(other) : { kind: "warn", word: "unknown" };
    return h("li", { class: state.kind }, id === e.id ? h("strong", {}, other.description || id) : h("a", { href: `#/webhooks/${id}` }, other?.description || id), " ", tag(state.kind, state.word), h("div", { class: "quiet small" }, text));
  };
  const away = e.state === "disabled" || e.breaker.state === "open";
  const first = e.backups.findIndex((_, i) => backups[i] && backups[i].breaker.state !== "open" && backups[i].state === "active");
  return [
    h("p", {}, !away ? "Deliveries go to the first that takes them." : first < 0 ? "None of them takes deliveries now: they wait."
      : ["Deliveries go to ", h("strong", {}, backups[first].description || e.backups[first]), " now", e.breaker.probe_at ? [". The next probe of this endpoint is due ", time(e.breaker.probe_at, "ago"), "; when it succeeds, they come here again."] : ", until this endpoint is resumed."]),
    h("ol", { class: "line" }, step(e.id, e, "first choice: every delivery begins here unless its circuit breaker is open"),
      e.backups.map((b, i) => step(b, backups[i], i === 0 ? "when the first choice fails for long, or its circuit breaker is open" : "when the one before fails too")),
      h("li", { class: "" }, "Dead letter", h("div", { class: "quiet small" }, "when the schedule of each is spent")))];
}

function latest(attempts, waiting, names, id) {
  return [
    waiting.length ? [h("h2", {}, "Waiting"), deliveryTable(waiting, names)] : null,
    h("h2", {}, "Last attempts"),
    attempts.length ? attemptTable(attempts) : h("div", { class: "empty" }, "Nothing was sent yet. Send a test event to see how it answers."),
    h("p", {}, h("a", { href: `#/attempts?endpoint=${id}` }, "All attempts"), " · ", h("a", { href: `#/deliveries?endpoint=${id}` }, "All deliveries"),
      " · ", h("a", { href: `#/dead-letters?endpoint=${id}` }, "Dead letters"))];
}

async function testOne(id, result) {
  const form = await ask("Send test event", [
    h("p", { class: "hint" }, "It is signed and sent like any other, once, with X-AtoShip-Test: true. Left empty, the catalog’s first example is sent."),
    h("label", { for: "type" }, "Event type"), h("input", { type: "text", id: "type", name: "type", placeholder: "label.created" }),
    h("label", { for: "data" }, "Data, as JSON"), h("textarea", { id: "data", name: "data" })], "Send");
  if (!form) return null;
  const body = {};
  if (form.get("type").trim()) body.event = form.get("type").trim();
  if (form.get("data").trim()) {
    try { body.data = JSON.parse(form.get("data")); } catch { throw new Error("The data is no JSON."); }
  }
  fill(result, h("p", { class: "quiet" }, "Sending…"));
  try {
    return await post(`endpoints/${id}/test`, body);
  } catch (problem) {
    fill(result);
    throw problem;
  }
}

function testResult(d) {
  const a = d.attempts[0];
  return h("div", { class: `note ${a.outcome === "delivered" ? "ok" : "bad"}` },
    h("strong", {}, a.outcome === "delivered" ? "The test event was accepted. " : "The test event failed. "), outcomeTag(a.outcome, a.status), ` after ${span(a.duration_ms / 1000)}. `,
    h("a", { href: `#/deliveries/${d.id}` }, "Details"), a.response.excerpt ? h("pre", { tabindex: "0" }, a.response.excerpt) : null);
}

const stepNames = {
  egress: "Way out", dns: "Name", connect_ipv4: "Connection, IPv4", connect_ipv6: "Connection, IPv6", tls: "Certificate",
  test_event: "Test event", wrong_signature: "Wrong signature", repeated_event: "Repeated event",
};

function checkResult(c) {
  return h("section", {}, h("h2", {}, "Endpoint check ", tag(c.result === "ok" ? "ok" : c.result === "warn" ? "warn" : "bad", { ok: "all well", warn: "works, with warnings", fail: "fails" }[c.result])),
    h("ol", { class: "line" }, c.steps.map((s) => h("li", { class: s.result === "ok" ? "ok" : s.result === "warn" ? "warn" : "bad" },
      h("strong", {}, stepNames[s.name] ?? s.name), ` – ${s.summary}`, " ", h("span", { class: "quiet num small nobreak" }, span(s.took_ms / 1000)),
      s.advice ? h("p", {}, h("strong", {}, "Next: "), s.advice) : null))));
}

async function rotate(id, result) {
  const form = await ask("Rotate the signing secret", [
    h("p", {}, "A new secret is made and signs from the next attempt on. The old one signs beside it for a while, so that your server can follow."),
    h("label", { for: "overlap" }, "Keep the old secret for"),
    h("select", { id: "overlap", name: "overlap" }, [["24h", "one day"], ["168h", "one week"], ["1h", "one hour"], ["0s", "no time: it has leaked"]].map(([v, t]) => h("option", { value: v }, t)))], "Rotate");
  if (!form) return;
  const { secret } = await post(`endpoints/${id}/rotate-secret`, { overlap: form.get("overlap") });
  fill(result, secretPanel(id, secret.standard ?? secret.value));
}

async function reveal(id, result) {
  if (!await ask("Show the signing secret", h("p", {}, "It will stand on this page, and the gateway’s log notes that it was shown."), "Show")) return;
  const { secrets } = await post(`endpoints/${id}/reveal-secret`);
  fill(result, secretPanel(id, secrets[0].standard ?? secrets[0].value));
}

async function erase(e, etag) {
  let pending = 0;
  for (;;) {
    const name = e.description || e.id;
    const form = await ask(`Delete ${name}?`, [
      h("p", {}, pending ? `${pending} deliveries wait for it. They will be cancelled; nothing of this can be undone.` : "Nothing will be sent there any more. This cannot be undone; to stop for a while, pause it."),
      h("label", { for: "name" }, "Type its name to confirm: ", h("code", {}, name)), h("input", { type: "text", id: "name", name: "name", autocomplete: "off" })], "Delete", true);
    if (!form) return;
    if (form.get("name").trim() !== name) throw new Error("That is not its name: nothing was deleted.");
    try {
      const { cancelled } = await remove(`endpoints/${e.id}${pending ? `?confirm=${pending}` : ""}`, etag);
      forgetNames();
      toast("ok", cancelled ? `Deleted; ${cancelled} deliveries were cancelled.` : "Deleted.");
      location.hash = "#/webhooks";
      return;
    } catch (problem) {
      if (problem.status !== 409 || !problem.body.pending) throw problem;
      pending = problem.body.pending;
    }
  }
}
