// A customer's receiver that verifies each delivery in three ways that share no code:
//
//   guide     the customer guide's snippet as printed, behind Express with express.json()
//   standard  the npm package standardwebhooks
//   octokit   the npm package @octokit/webhooks-methods, which knows the same signature under GitHub's header name
//
//   node receiver.mjs <certificate.pem> <key.pem> <secrets.json>
//
// secrets.json maps names to secrets. POST /hooks/<name> answers 200 only when all three accept that name's secret, and
// 401 otherwise. POST /capture/<name> verifies nothing and answers 200. Each request is one JSON line on standard output,
// with the verdict under every secret, or as it came. The first line tells the port.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:https';
import express from 'express';
import { Webhook } from 'standardwebhooks';
import { verify as octokitVerify } from '@octokit/webhooks-methods';

const require = createRequire(import.meta.url); // the guide's snippet says require
const [certFile, keyFile, secretsFile] = process.argv.slice(2);
const secrets = JSON.parse(readFileSync(secretsFile, 'utf8'));

function guide(req, secret) {
	// As printed in the guide, from here …
	const crypto = require('crypto');
	const signature = req.headers['x-atoship-signature'];
	const expected = 'sha256=' +
	crypto.createHmac('sha256', secret)
	.update(JSON.stringify(req.body))
	.digest('hex');
	const valid = signature === expected;
	// … to here.
	return valid;
}

function standard(req, raw, secret) {
	try {
		new Webhook(secret).verify(raw, req.headers);
		return true;
	} catch {
		return false;
	}
}

function octokit(req, raw, secret) {
	const signature = req.headers['x-atoship-signature'];
	return signature ? octokitVerify(secret, raw.toString('utf8'), signature) : false;
}

// keepRaw listens beside express.json(), so that the two packages see the bytes as they came.
function keepRaw(req, res, next) {
	const chunks = [];
	req.on('data', (chunk) => chunks.push(chunk));
	req.raw = () => Buffer.concat(chunks);
	next();
}

const app = express();
app.use(keepRaw);
app.use(express.json());
app.post('/hooks/:name', async (req, res) => {
	const raw = req.raw();
	const verdicts = {};
	for (const [name, secret] of Object.entries(secrets)) {
		verdicts[name] = {
			guide: guide(req, secret),
			standard: standard(req, raw, secret),
			octokit: await octokit(req, raw, secret),
		};
	}
	const own = verdicts[req.params.name] ?? {};
	const valid = Boolean(own.guide && own.standard && own.octokit);
	console.log(JSON.stringify({
		path: req.params.name,
		event_id: req.headers['x-atoship-event-id'],
		headers: req.headers,
		body: raw.toString('base64'),
		stable: raw.equals(Buffer.from(JSON.stringify(req.body))),
		verdicts,
		valid,
	}));
	res.sendStatus(valid ? 200 : 401);
});

app.post('/capture/:name', (req, res) => {
	console.log(JSON.stringify({
		path: req.params.name,
		event_id: req.headers['x-atoship-event-id'],
		method: req.method,
		url: req.originalUrl,
		raw_headers: req.rawHeaders,
		body: req.raw().toString('base64'),
	}));
	res.sendStatus(200);
});

const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, app);
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
