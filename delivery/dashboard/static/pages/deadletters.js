// Dead letters: deliveries that nobody took, and the way to send them again: count first, then replay at a rate.

import { acting, ask, fill, h, number, page, toast } from "../ui.js";
import { endpointNames, get, post, query } from "../api.js";
import { deliveryTable } from "./logs.js";

export async function deadLetters({ me, query: q, signal, again }) {
  const asked = { endpoint: q.get("endpoint"), type: q.get("type") };
  const read = () => get(`deliveries${query({ state: "exhausted", latest: "true", ...asked, limit: "50", cursor: q.get("cursor") })}`);
  const [list, names] = await Promise.all([read(), endpointNames()]);
  const operator = me.role === "operator";
  const running = h("div", { "aria-live": "polite" });
  const rows = h("div", {}, deliveryTable(list.items, new Map(names), operator && list.items.length > 0));
  const refresh = async () => { const { items } = await read(); if (!signal.aborted) fill(rows, deliveryTable(items, new Map(names), items.length > 0, "None is left here.")); };
  const chosen = () => [...rows.querySelectorAll("input:checked")].map((i) => i.value);
  return [
    page("Dead letters", null, operator && list.items.length ? [
      h("button", { type: "button", onclick: acting(async () => {
        const ids = chosen();
        if (ids.length === 0) { toast("warn", "Choose some first."); return null; }
        for (const id of ids) await post(`deliveries/${id}/redeliver`);
        return again();
      }, "They are sent again.") }, "Redeliver chosen"),
      h("button", { type: "button", class: "primary", onclick: acting(() => replay(q, names, running, signal, refresh)) }, "Replay many…")] : null),
    h("p", { class: "quiet" }, "Events that an endpoint did not take within its schedule. One that is sent again leaves this list; ", h("a", { href: `#/deliveries${query({ state: "exhausted", ...asked })}` }, "all of them"), " stay in the logs until they are too old."),
    running,
    h("form", { class: "filters", onsubmit: (e) => { e.preventDefault(); location.hash = `#/dead-letters${query(Object.fromEntries(new FormData(e.currentTarget)))}`; } },
      h("div", {}, h("label", { for: "f-endpoint" }, "Endpoint"), endpointField("f-endpoint", names, q.get("endpoint"), "any")),
      h("div", {}, h("label", { for: "f-type" }, "Event type"), h("input", { type: "search", id: "f-type", name: "type", value: q.get("type") ?? "" })),
      h("div", {}, h("button", { type: "submit" }, "Search"))),
    list.items.length || q.get("endpoint") || q.get("type") ? rows : h("div", { class: "empty" }, "There are no dead letters: everything was delivered or still may be."),
    list.next ? h("p", {}, h("a", { href: `#/dead-letters${query({ ...asked, cursor: list.next })}` }, "Older")) : null,
  ];
}

/** endpointField chooses an endpoint by its name; where there are too many of them its id is typed. */
function endpointField(id, names, chosen, any) {
  if (names.length === 0 || names.length >= 500) return h("input", { type: "search", id, name: "endpoint", value: chosen ?? "", required: !any });
  return h("select", { id, name: "endpoint", required: !any }, h("option", { value: "" }, any ?? "choose one"),
    names.toSorted((a, b) => a[1].localeCompare(b[1])).map(([value, name]) => h("option", { value, selected: value === chosen }, name)));
}

async function replay(q, names, running, signal, refresh) {
  const form = await ask("Replay dead letters", [
    h("label", { for: "r-endpoint" }, "Endpoint"), endpointField("r-endpoint", names, q.get("endpoint")),
    h("label", { for: "r-type" }, "Event type ", h("span", { class: "hint" }, "empty for all")), h("input", { type: "text", id: "r-type", name: "type", value: q.get("type") ?? "" }),
    h("label", { for: "r-since" }, "From"), h("input", { type: "datetime-local", id: "r-since", name: "since", required: true, value: local(Date.now() - 7 * 86400000) }),
    h("label", { for: "r-rate" }, "Rate ", h("span", { class: "hint" }, "so that the endpoint bears it")), h("input", { type: "text", id: "r-rate", name: "rate", value: "20/s" })], "Count first");
  if (!form) return;
  const body = { endpoint: form.get("endpoint").trim(), state: "exhausted", since: new Date(form.get("since")).toISOString(), rate: form.get("rate").trim() };
  if (form.get("type").trim()) body.type = form.get("type").trim();
  const { matched: n } = await ended(await post("replays", { ...body, dry_run: true }), signal);
  if (n === 0) { toast("warn", "Nothing matches."); return; }
  if (!await ask("Replay dead letters", h("p", {}, `${number(n)} deliveries would be sent again to ${new Map(names).get(body.endpoint) ?? body.endpoint}, ${body.rate}.`), `Replay ${number(n)}`)) return;
  await progress(await post("replays", body), running, signal);
  await refresh();
}

const local = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * 60000).toISOString().slice(0, 16);

/** ended follows a replay until it is over. */
async function ended(job, signal, each) {
  for (;;) {
    each?.(job);
    if (job.status !== "running" || signal.aborted) return job;
    await new Promise((resolve) => setTimeout(resolve, 500));
    job = await get(`replays/${job.id}`);
  }
}

function progress(job, running, signal) {
  return ended(job, signal, (r) => {
    const over = r.status !== "running";
    fill(running, h("div", { class: `note ${over ? "ok" : ""}` }, h("p", {}, `Replay ${r.id}: ${r.status}, ${number(r.replayed)} sent again`),
      h("progress", { max: 1, value: over ? 1 : r.progress, "aria-label": "Progress" }),
      Object.entries(r.waiting ?? {}).map(([name, why]) => h("p", { class: "small" }, `waits for ${name}: ${why}`)),
      over ? null : h("button", { type: "button", onclick: acting(() => post(`replays/${r.id}/cancel`), "The replay stops.") }, "Stop")));
  });
}
