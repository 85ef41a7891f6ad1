// The page: who is here, where they are, and the page for it. Places are in the URL's fragment, so links can be shared and
// nothing is asked of the server's paths.

import { fill, h, page, tick } from "./ui.js";
import { enterPortal, leavePortal, portal, Problem, signIn, signOut, stay, whoAmI } from "./api.js";
import { overview } from "./pages/overview.js";
import { webhooks, webhookForm } from "./pages/webhooks.js";
import { webhook } from "./pages/webhook.js";
import { attempts, deliveries, delivery, event, events } from "./pages/logs.js";
import { deadLetters } from "./pages/deadletters.js";
import { routes } from "./pages/routes.js";
import { allowlist } from "./pages/allowlist.js";

const places = [
  { path: /^overview$/, nav: "overview", show: overview },
  { path: /^webhooks$/, nav: "webhooks", show: webhooks },
  { path: /^webhooks\/new$/, nav: "webhooks", show: webhookForm },
  { path: /^webhooks\/([\w-]+)\/edit$/, nav: "webhooks", show: webhookForm },
  { path: /^webhooks\/([\w-]+)$/, nav: "webhooks", show: webhook },
  { path: /^deliveries$/, nav: "deliveries", show: deliveries },
  { path: /^deliveries\/([\w-]+)$/, nav: "deliveries", show: delivery },
  { path: /^attempts$/, nav: "deliveries", show: attempts },
  { path: /^events$/, nav: "deliveries", show: events },
  { path: /^events\/([\w-]+)$/, nav: "deliveries", show: event },
  { path: /^dead-letters$/, nav: "dead-letters", show: deadLetters },
  { path: /^routes$/, nav: "routes", show: routes, operator: true },
  { path: /^allowlist$/, nav: "allowlist", show: allowlist },
];

const app = document.getElementById("app");
let me;
let link; // of the portal, if this is one
let leaving = new AbortController();

function navigation(current) {
  const to = (id, text) => h("a", { href: `#/${id}`, "aria-current": current === id ? "page" : null }, text);
  return h("nav", { class: "side", "aria-label": "Main" },
    h("strong", {}, me.tenant || "Webhooks"),
    to("overview", "Overview"),
    to("deliveries", "Logs"),
    to("dead-letters", "Dead letters"),
    me.tenant ? null : to("routes", "Routes"),
    h("h2", {}, "Settings"),
    to("webhooks", "Webhooks"),
    to("allowlist", "IP allowlist"),
    me.signed_in ? h("button", { type: "button", onclick: async () => { await signOut(); start(); } }, "Sign out")
      : link && window.top === window ? h("button", { type: "button", onclick: () => { leavePortal(); location.hash = "#/"; start(); } }, "Leave") : null);
}

async function show() {
  stay();
  leaving.abort();
  leaving = new AbortController();
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const place = places.find((p) => p.path.test(path) && !(p.operator && me.tenant));
  if (!place) {
    location.replace("#/overview");
    return;
  }
  const main = h("main", { id: "main", tabindex: "-1" }, h("p", { class: "quiet loading" }, "Loading…"));
  fill(app, h("div", { class: "shell" }, navigation(place.nav), main));
  const signal = leaving.signal;
  try {
    const context = { me, signal, params: place.path.exec(path).slice(1), query: new URLSearchParams(search ?? ""), again: show };
    const content = await place.show(context);
    if (signal.aborted) return;
    fill(main, content);
    main.querySelector("h1")?.focus({ preventScroll: true });
    scrollTo(0, 0);
  } catch (problem) {
    if (signal.aborted) return;
    if (problem instanceof Problem && problem.status === 401) return start();
    fill(main, page(problem.status === 404 ? "Not found" : "That did not work"), h("div", { class: "note bad", role: "alert" }, problem.message), h("button", { type: "button", onclick: show }, "Try again"));
    if (!(problem instanceof Problem)) throw problem;
  }
}

function login(message) {
  document.title = "Sign in · Webhooks";
  const secret = h("input", { type: "password", id: "token", name: "token", autocomplete: "current-password", required: true, autofocus: true });
  const says = h("div", { role: "alert" }, message ? h("div", { class: "note bad" }, message) : null);
  fill(app, h("main", { id: "main", class: "center" }, h("h1", {}, "Webhooks"),
    h("form", { onsubmit: async (e) => {
      e.preventDefault();
      try {
        await signIn(secret.value);
        secret.value = "";
        await start();
      } catch (problem) {
        fill(says, h("div", { class: "note bad" }, problem.message));
        secret.focus();
      }
    } }, says, h("label", { for: "token" }, "Access token"), secret,
    h("p", { class: "hint" }, "One that the gateway’s configuration names, or one that was made for your account."),
    h("button", { type: "submit", class: "primary" }, "Sign in"))));
  secret.focus();
}

const portalLink = /^#\/?portal\?/;

/** openPortal takes a portal link out of the address: its token stands behind the fragment's sign, which browsers send to nobody. */
function openPortal() {
  const q = new URLSearchParams(location.hash.replace(portalLink, ""));
  const theme = {};
  for (const name of ["accent", "surface", "text", "radius"]) {
    const value = q.get(name);
    if (value && /^[#\w(),.% -]{1,40}$/.test(value)) theme[name] = value;
  }
  enterPortal({ token: q.get("token") ?? "", theme }, "#/webhooks");
}

/** wear gives the page the colours that a portal link chose. */
function wear(theme) {
  for (const [name, value] of Object.entries(theme)) document.documentElement.style.setProperty(`--${name}`, value);
  // Colours chosen for a light page would be unreadable on a dark one.
  document.documentElement.classList.toggle("themed", Object.keys(theme).length > 0);
}

const standing = (title, ...content) => { document.title = `${title} · Webhooks`; fill(app, h("main", { id: "main", class: "center" }, h("h1", {}, title), content)); };

async function start() {
  if (portalLink.test(location.hash)) openPortal();
  link = portal();
  wear(link?.theme ?? {});
  try {
    me = await whoAmI();
  } catch (problem) {
    if (problem.status === 401 && link) {
      leavePortal();
      return standing("This link has ended", h("p", {}, "Go back to where you opened it, and open it again."));
    }
    if (problem.status === 401) return login();
    return standing("Webhooks", h("div", { class: "note bad", role: "alert" }, problem.message), h("button", { type: "button", onclick: start }, "Try again"));
  }
  await show();
}

addEventListener("hashchange", () => (portalLink.test(location.hash) || !me ? start() : show()));
document.querySelector(".skip").addEventListener("click", (e) => { e.preventDefault(); document.getElementById("main").focus(); }); // its fragment is no place
setInterval(tick, 10000);
start();
