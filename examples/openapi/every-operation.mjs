// Calls every operation of the management API with a client that another's library makes from the OpenAPI document, and
// nothing else that knows the API: node every-operation.mjs http://127.0.0.1:8080/webhooks/api http://127.0.0.1:8080/events
import axios from "axios";
import { OpenAPIClientAxios } from "openapi-client-axios";

const [base, ingest] = process.argv.slice(2);
const made = new OpenAPIClientAxios({
	definition: `${base}/openapi.json`,
	axiosConfigDefaults: { baseURL: base, validateStatus: () => true, headers: { "Content-Type": "application/json" } },
});
const client = await made.init();
const called = new Set();

// call answers with the body. It expects the success that the document describes, or the refusal named.
async function call(operation, params, body, { refused, ...config } = {}) {
	const described = made.getOperation(operation);
	if (!described) throw new Error(`the document has no operation ${operation}`);
	const { status, data } = await client[operation](params, body, config);
	called.add(operation);
	if (status !== refused && !(status < 300 && described.responses[status])) {
		throw new Error(`${operation} was answered ${status} ${JSON.stringify(data)}`);
	}
	return data;
}

async function publish(event) {
	const { data } = await axios.post(ingest, { data: {}, ...event });
	return data;
}

for (const operation of ["getHealth", "getHealthReady", "getHealthLive", "getOpenapiJson", "getCatalog", "getEgress", "getPulse", "getRoutes"]) {
	await call(operation);
}

const { id } = await call("postEndpoints", null, { url: "https://127.0.0.1:9/in", events: ["label.*"], timeout: "1s", tenant: "acme" });
await call("getEndpoints", { limit: 1 });
const { description } = await call("patchEndpointsId", { id, "If-Match": "*" }, { description: "Orders" });
if (description !== "Orders") throw new Error("the patch changed nothing");
await call("getEndpointsId", { id });
await call("postEndpointsIdTest", { id }, { event: "label.created", data: {} });
await call("postEndpointsIdCheck", { id });
await call("postEndpointsIdRotateSecret", { id }, { overlap: "1h" });
const { secrets } = await call("postEndpointsIdRevealSecret", { id });
if (secrets.length !== 2) throw new Error("two secrets live after a rotation");
await call("postEndpointsIdPause", { id });

const event = await publish({ event: "label.created", tenant: "acme" });
const unrouted = await publish({ event: "nobody.wants" });
const delivery = event.deliveries.find((d) => d.endpoint === id);
await call("getEvents", { type: "label.created", tenant: "acme" });
await call("getEventsId", { id: event.id, tenant: "acme" });
await call("postEventsIdRoute", { id: unrouted.id });
const { items } = await call("getDeliveries", { state: "pending", endpoint: id, limit: 10 });
if (items[0]?.id !== delivery.id) throw new Error(`the delivery is not in ${JSON.stringify(items)}`);
await call("postDeliveriesIdCancel", { id: delivery.id });
await call("getDeliveriesId", { id: delivery.id });
await call("postDeliveriesIdRedeliver", { id: delivery.id });
await call("postEventsIdReplay", { id: event.id, tenant: "acme" }, { endpoint: id });
await call("postRoutesExplain", null, { event: "label.created", data: {}, tenant: "acme" });
await call("getAttempts", { endpoint: id, status: "5xx" });
await call("getActivity", { endpoint: id });
const replay = await call("postReplays", null, { endpoint: id, state: "cancelled", since: "2024-01-15T10:30:00Z", rate: "1/m" });
await call("getReplays", { limit: 1 });
await call("getReplaysId", { id: replay.id });
await call("postReplaysIdCancel", { id: replay.id }, undefined, { refused: 409 }); // it may be done already
await call("postEndpointsIdResume", { id });
await call("getStats");
await call("getStatsEndpoints", { limit: 5 });

const stream = await call("getStream", { endpoint: id }, undefined, { responseType: "stream" });
stream.destroy(); // it does not end

await call("postEventsIdErase", { id: event.id, tenant: "acme" }, { cancel_pending: true });
await call("postStoreErase", null, { tenant: "acme", cancel_pending: true });
await call("postStoreBackup", null, { directory: "/nowhere" }, { refused: 403 }); // for the machine's own operator, at the admin endpoint
const token = await call("postTenantsTenantTokens", { tenant: "acme" }, { role: "viewer" });
await call("getTenantsTenantTokens", { tenant: "acme" });
await call("deleteTenantsTenantTokensId", { tenant: "acme", id: token.id });
await call("postTenantsTenantPortalLinks", { tenant: "acme" }, {});
await call("deleteEndpointsId", { id, "If-Match": "*", confirm: 1000 });

const left = made.getOperations().map((o) => o.operationId).filter((o) => !called.has(o));
if (left.length > 0) throw new Error(`operations that nothing called: ${left}`);
console.log(`${called.size} operations`);
