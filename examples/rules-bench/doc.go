// Command rules-bench puts the same routing rules to the rule engines a Go
// program can choose from, over the same events, and prints what each takes per
// event. All must find the same rules: it fails when they do not.
//
//	go run . -rules 10,100,1000,10000
//
// The rules compare a type (exactly, with a list, by its beginning), an
// environment, a tenant and a member of the payload, which every engine can
// express. The engines:
//
//   - rules: this gateway's, from the bytes of the payload, which includes
//     taking the values out of them;
//   - expr: github.com/expr-lang/expr, whose language the rules are written in,
//     one program after the other;
//   - cel: cel.dev/cel-go, one program after the other;
//   - opa: github.com/open-policy-agent/opa, one module, whose rules it indexes
//     itself.
//
// The other three get the payload decoded; what decoding takes stands in the
// column json. It is a module of its own, so that none of them comes near the
// gateway's dependencies.
package main
