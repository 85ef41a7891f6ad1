// Prints the dashboard's verification snippets, with the secret in argv[2] filled in, as one JSON object.
import { languages } from "../../delivery/dashboard/static/pages/snippets.js";

const secret = process.argv[2];
console.log(JSON.stringify(Object.fromEntries(Object.entries(languages).map(([name, code]) => [name, code(secret)]))));
