package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/atoship/caddy-webhooks/rules"
)

// engine finds the rules that an event satisfies.
type engine struct {
	name string
	// most is the largest number of rules it is asked with: beyond, it takes
	// minutes to load them, or a second per event.
	most int
	load func([]rule) (matcher, error)
}

// matcher returns the numbers of the rules an event satisfies.
type matcher func(*event) ([]int, error)

var engines = []engine{
	{"rules", 1_000_000, loadRules},
	{"expr", 10_000, loadExpr},
	{"cel", 10_000, loadCEL},
	{"opa", 10_000, loadOPA},
}

var exprLanguage = language{and: " && ", starts: "%s startsWith %q", brackets: "[]"}

func loadRules(all []rule) (matcher, error) {
	c := rules.Config{}
	for i := range all {
		name := "r" + strconv.Itoa(i)
		c.Endpoints = append(c.Endpoints, name)
		c.Routes = append(c.Routes, rules.Route{
			Name: name, When: rules.Expr{Text: exprLanguage.write(&all[i])}, To: []rules.Chain{{Primary: name}},
		})
	}
	set, err := rules.Compile(c)
	if err != nil {
		return nil, err
	}
	var hits []int
	return func(e *event) ([]int, error) {
		hits = hits[:0]
		for _, t := range set.Match(&e.Event).Targets {
			n, err := strconv.Atoi(t.Route[1:])
			if err != nil {
				return nil, err
			}
			hits = append(hits, n)
		}
		return hits, nil
	}, nil
}

func loadExpr(all []rule) (matcher, error) {
	programs := make([]*vm.Program, len(all))
	for i := range all {
		var err error
		if programs[i], err = expr.Compile(exprLanguage.write(&all[i]), expr.AsBool()); err != nil {
			return nil, err
		}
	}
	var machine vm.VM
	var hits []int
	return func(e *event) ([]int, error) {
		hits = hits[:0]
		for i, p := range programs {
			out, err := machine.Run(p, e.decoded)
			if err != nil {
				return nil, err
			}
			if out == true {
				hits = append(hits, i)
			}
		}
		return hits, nil
	}, nil
}

var celLanguage = language{and: " && ", starts: "%s.startsWith(%q)", brackets: "[]"}

func loadCEL(all []rule) (matcher, error) {
	env, err := cel.NewEnv(cel.Variable("event", cel.MapType(cel.StringType, cel.StringType)), cel.Variable("data", cel.MapType(cel.StringType, cel.DynType)))
	if err != nil {
		return nil, err
	}
	programs := make([]cel.Program, len(all))
	for i := range all {
		tree, issues := env.Compile(celLanguage.write(&all[i]))
		if issues != nil && issues.Err() != nil {
			return nil, issues.Err()
		}
		if programs[i], err = env.Program(tree, cel.EvalOptions(cel.OptOptimize)); err != nil {
			return nil, err
		}
	}
	var hits []int
	return func(e *event) ([]int, error) {
		hits = hits[:0]
		for i, p := range programs {
			out, _, err := p.Eval(e.decoded)
			if err != nil {
				return nil, err
			}
			if out.Value() == true {
				hits = append(hits, i)
			}
		}
		return hits, nil
	}, nil
}

var regoLanguage = language{and: "\n\t", starts: "startswith(%s, %q)", brackets: "{}"}

func loadOPA(all []rule) (matcher, error) {
	var module strings.Builder
	module.WriteString("package routes\n\n")
	for i := range all {
		text := regoLanguage.write(&all[i])
		text = strings.NewReplacer("event.", "input.event.", "data.", "input.data.").Replace(text)
		fmt.Fprintf(&module, "hits contains %d if {\n\t%s\n}\n\n", i, text)
	}
	ctx := context.Background()
	query, err := rego.New(rego.Query("data.routes.hits"), rego.Module("routes.rego", module.String())).PrepareForEval(ctx)
	if err != nil {
		return nil, err
	}
	inputs := map[*event]ast.Value{}
	return func(e *event) ([]int, error) {
		input, ok := inputs[e] // made once: reading the input is decoding
		if !ok {
			if input, err = ast.InterfaceToValue(e.decoded); err != nil {
				return nil, err
			}
			inputs[e] = input
		}
		results, err := query.Eval(ctx, rego.EvalParsedInput(input))
		if err != nil {
			return nil, err
		}
		if len(results) != 1 {
			return nil, errors.New("the query has no result")
		}
		var hits []int
		for _, v := range results[0].Expressions[0].Value.([]any) {
			n, err := strconv.Atoi(string(v.(json.Number)))
			if err != nil {
				return nil, err
			}
			hits = append(hits, n)
		}
		sort.Ints(hits)
		return hits, nil
	}, nil
}
