// Prints JSON.stringify(JSON.parse(text)) of each text on standard input. NUL, which no JSON text holds, stands between
// texts, and between answers.
import { readFileSync } from 'node:fs';

const texts = readFileSync(0, 'utf8').split('\0');
process.stdout.write(texts.map((text) => JSON.stringify(JSON.parse(text))).join('\0'));
