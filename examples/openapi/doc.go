// Package openapi holds the management API to its OpenAPI document by a validator that is not ours: the document is valid, what
// the API's own tests were answered is as it says, and so is what a running gateway answers to requests made from it, none of
// them with a 5xx; and a client that another's library makes of the document (every-operation.mjs, in Node) can call every
// operation. It is a module of its own, so that the validator is no dependency of the gateway.
package openapi
