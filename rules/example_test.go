package rules_test

import (
	"fmt"

	"github.com/atoship/caddy-webhooks/rules"
)

func ExampleSet_Match() {
	set, err := rules.Compile(rules.Config{
		Endpoints: []string{"orders", "orders-dr", "audit"},
		Routes: []rules.Route{{
			Name: "labels",
			When: rules.Expr{Text: `event.type startsWith "label."`},
			To:   []rules.Chain{{Primary: "orders", Backups: []string{"orders-dr"}}},
		}, {
			Name: "heavy",
			When: rules.Expr{Text: `data.weight > 30`},
			To:   []rules.Chain{{Primary: "audit"}},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	d := set.Match(&rules.Event{Type: "label.created", Data: []byte(`{"weight": "31 kg"}`)})
	for _, t := range d.Targets {
		fmt.Println(t.Route, "->", t.Endpoint, t.Backups)
	}
	for _, e := range d.Errors {
		fmt.Println(e.Route, e.Field+":", e.Text)
	}
	// Output:
	// labels -> orders [orders-dr]
	// heavy when: cannot compute string > int
	//     data.weight > 30
	//                 ^
}

func ExampleCompile() {
	_, err := rules.Compile(rules.Config{
		Endpoints: []string{"orders"},
		Routes: []rules.Route{{
			Name: "labels",
			When: rules.Expr{Text: `event.tpye startsWith "label."`, Pos: rules.Pos{File: "Caddyfile", Line: 12}},
			To:   []rules.Chain{{Primary: "order"}},
			Pos:  rules.Pos{File: "Caddyfile", Line: 11},
		}},
	})
	fmt.Println(err)
	// Output:
	// Caddyfile:12: route "labels", when: unknown field event.tpye; did you mean event.type?
	//     event.tpye startsWith "label."
	//           ^
	// Caddyfile:11: route "labels", to: unknown endpoint "order"; did you mean orders?
}
