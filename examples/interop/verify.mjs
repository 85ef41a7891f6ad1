// Verifies requests with packages from npm. Each line on standard input is a request, as JSON: which verifier to ask, the
// key in the form a customer has it, method, URL, header and body (base64). Each is answered with one line on standard
// output: {"valid":true}, or {"valid":false,"why":"…"}.
import { createHash, createPublicKey, verify as cryptoVerify } from 'node:crypto';
import { createInterface } from 'node:readline';
import { verify as octokitVerify } from '@octokit/webhooks-methods';
import { Webhooks } from '@octokit/webhooks';
import '@shopify/shopify-api/adapters/node';
import { LogSeverity, shopifyApi } from '@shopify/shopify-api';
import { verifySignature, webcrypto } from 'http-message-sig';
import { createVerifier, httpbis } from 'http-message-signatures';
import { Webhook } from 'standardwebhooks';
import { Stripe } from 'stripe';
import { Webhook as SvixWebhook } from 'svix';

const covered = ['@method', '@authority', '@path', '@query', 'content-digest', 'content-type', 'webhook-id'];

// decoded are the bytes after whsec_ or whpk_.
const decoded = (key) => Buffer.from(key.replace(/^wh(sec|pk)_/, ''), 'base64');

const publicKey = (key) =>
	createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: decoded(key).toString('base64url') }, format: 'jwk' });

// sameDigest does what verifiers of RFC 9421 leave to the receiver: they see that Content-Digest is signed, not the body.
function sameDigest({ header, raw }) {
	return header['content-digest'] === `sha-256=:${createHash('sha256').update(raw).digest('base64')}:`;
}

function httpMessageSignatures(alg, key) {
	return async (r) =>
		sameDigest(r) && (await httpbis.verifyMessage({
			keyLookup: async ({ keyid }) => (keyid === r.keyid ? { id: keyid, algs: [alg], verify: createVerifier(key(r.key), alg) } : null),
			requiredFields: covered,
			requiredParams: ['created', 'keyid'],
			maxAge: 300,
		}, { method: r.method, url: r.url, headers: r.header }));
}

async function httpMessageSig(r) {
	const jwk = { kty: 'OKP', crv: 'Ed25519', x: decoded(r.key).toString('base64url') };
	const key = await crypto.subtle.importKey('jwk', jwk, 'Ed25519', false, ['verify']);
	const verified = await verifySignature({
		kind: 'request',
		method: r.method,
		targetUri: r.url,
		fields: Object.entries(r.header).map(([name, value]) => ({ name, value })),
	}, {
		label: r.label,
		policy: { algorithms: ['ed25519'], requiredComponents: covered, requiredParameters: ['created', 'keyid'], maxAge: 300, clockSkew: 5 },
		resolveVerifier: () => webcrypto.verifier(key),
	});
	return verified.parameters.keyid === r.keyid && sameDigest(r);
}

async function shopify(r) {
	const api = shopifyApi({
		apiKey: 'app',
		apiSecretKey: r.key,
		apiVersion: '2025-10',
		hostName: 'app.example.com',
		isEmbeddedApp: false,
		logger: { level: LogSeverity.Error },
	});
	const result = await api.webhooks.validate({
		rawBody: r.raw.toString('utf8'),
		rawRequest: { method: r.method, url: r.url, headers: r.header },
		rawResponse: {},
	});
	return result.valid && result.webhookId === r.header['x-shopify-webhook-id'];
}

async function octokitWebhooks(r) {
	let received;
	const webhooks = new Webhooks({ secret: r.key });
	webhooks.onAny((event) => { received = event; });
	await webhooks.verifyAndReceive({
		id: r.header['x-github-delivery'],
		name: r.header['x-github-event'],
		signature: r.header['x-hub-signature-256'],
		payload: r.raw.toString('utf8'),
	});
	return received.id === r.header['x-github-delivery'] && received.name === r.header['x-github-event'];
}

function nodeCrypto(r) {
	const signed = Buffer.concat([Buffer.from(`${r.header['webhook-id']}.${r.header['webhook-timestamp']}.`), r.raw]);
	return r.header['webhook-signature'].split(' ')
		.filter((entry) => entry.startsWith('v1a,'))
		.some((entry) => cryptoVerify(null, signed, publicKey(r.key), Buffer.from(entry.slice(4), 'base64')));
}

const verifiers = {
	'standard: standardwebhooks': (r) => Boolean(new Webhook(r.key).verify(r.raw, r.header)),
	'standard: svix': (r) => Boolean(new SvixWebhook(r.key).verify(r.raw, r.header)),
	'standard_ed25519: node:crypto': nodeCrypto,
	'atoship: @octokit/webhooks-methods': (r) => octokitVerify(r.key, r.raw.toString('utf8'), r.header['x-atoship-signature']),
	'github: @octokit/webhooks-methods': (r) => octokitVerify(r.key, r.raw.toString('utf8'), r.header['x-hub-signature-256']),
	'github: @octokit/webhooks': octokitWebhooks,
	'stripe: stripe': (r) => Boolean(Stripe.webhooks.signature.verifyHeader(r.raw.toString('utf8'), r.header['stripe-signature'], r.key, 300)),
	'shopify: @shopify/shopify-api': shopify,
	'rfc9421 hmac-sha256: http-message-signatures': httpMessageSignatures('hmac-sha256', decoded),
	'rfc9421 ed25519: http-message-signatures': httpMessageSignatures('ed25519', publicKey),
	'rfc9421 ed25519: http-message-sig': httpMessageSig,
};

for await (const line of createInterface({ input: process.stdin })) {
	const request = JSON.parse(line);
	let answer;
	try {
		const verify = verifiers[request.verifier];
		if (!verify) throw new Error(`there is no verifier ${request.verifier}`);
		answer = { valid: (await verify({ ...request, raw: Buffer.from(request.body, 'base64') })) === true };
	} catch (error) {
		answer = { valid: false, why: `${error.name}: ${error.message}` };
	}
	console.log(JSON.stringify(answer));
}
