package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// path is a way into an event that is known when compiling: a field of event,
// or a chain of members and indexes into data.
type path struct {
	field eventField // fieldNone: into data
	steps []step     // none: the whole payload
	slot  int        // where a machine keeps the value; for data only
}

// step is one member name, or one index.
type step struct {
	key     string
	index   int
	isIndex bool
}

// key tells paths apart.
func (p *path) key() string { return keyOf(p.steps) }

// keyOf is the key of a path with these steps.
func keyOf(steps []step) string {
	var b strings.Builder
	for _, s := range steps {
		if s.isIndex {
			fmt.Fprintf(&b, "[%d]", s.index)
		} else {
			fmt.Fprintf(&b, ".%q", s.key)
		}
	}
	return b.String()
}

// paths gives every distinct way into the payload a number, by which machines
// keep what it gives, and remembers who is asked for.
type paths struct {
	slots map[string]int // by key; of every path, and of all that lead to it
	known map[string]*path
	lists map[string]*each
	reads reads // since the last take
}

// reads are the ways into a payload that an expression takes.
type reads struct {
	paths []*path
	lists []*each
}

func newPaths() *paths {
	return &paths{slots: map[string]int{}, known: map[string]*path{}, lists: map[string]*each{}}
}

// take returns what was interned since the last call, nil when nothing was.
func (ps *paths) take() *reads {
	r := ps.reads
	ps.reads = reads{}
	if len(r.paths) == 0 {
		return nil
	}
	return &r
}

// intern returns the one path that stands for all like it.
func (ps *paths) intern(p *path) *path {
	if p.field != fieldNone {
		return &fieldPaths[p.field]
	}
	k := p.key()
	known := ps.known[k]
	if known == nil {
		for i := range p.steps {
			ps.slot(keyOf(p.steps[:i]))
		}
		p.slot = ps.slot(k)
		ps.known[k] = p
		known = p
	}
	if !slices.Contains(ps.reads.paths, known) {
		ps.reads.paths = append(ps.reads.paths, known)
	}
	return known
}

func (ps *paths) slot(key string) int {
	n, ok := ps.slots[key]
	if !ok {
		n = len(ps.slots)
		ps.slots[key] = n
	}
	return n
}

// internEach returns the one list of texts that stands for all like it.
func (ps *paths) internEach(list *path, of eachOf, key string) *each {
	list = ps.intern(list)
	k := list.key() + "[*]"
	if of == ofMember {
		k += fmt.Sprintf(".%q", key)
	}
	known := ps.lists[k]
	if known == nil {
		known = &each{list: list, key: key, of: of, slot: len(ps.lists)}
		ps.lists[k] = known
	}
	if !slices.Contains(ps.reads.lists, known) {
		ps.reads.lists = append(ps.reads.lists, known)
	}
	return known
}

// fieldPaths are the paths to the fields of event, by field.
var fieldPaths = func() (out [fieldTimestamp + 1]path) {
	for f := range out {
		out[f].field = eventField(f)
	}
	return out
}()

// get follows the path through a payload. Anything in the way gives nil.
func (p *path) get(v any) any {
	for i := range p.steps {
		s := &p.steps[i]
		if s.isIndex {
			v = element(v, s.index)
		} else if m, ok := v.(map[string]any); ok {
			v = m[s.key]
		} else {
			return nil
		}
	}
	return v
}

// element returns list[i], counting from the end when i is negative, or nil.
func element(list any, i int) any {
	switch l := list.(type) {
	case []any:
		if i < 0 {
			i += len(l)
		}
		if i >= 0 && i < len(l) {
			return l[i]
		}
	case []string: // what split() gives
		if i < 0 {
			i += len(l)
		}
		if i >= 0 && i < len(l) {
			return l[i]
		}
	}
	return nil
}

// member is what v.prop and v[prop] are for values known only when running.
func member(v, prop any) any {
	switch k := prop.(type) {
	case string:
		if m, ok := v.(map[string]any); ok {
			return m[k]
		}
	case int:
		return element(v, k)
	}
	return nil
}

// pathOf recognizes a path that starts at event or data.
func pathOf(n ast.Node) (*path, bool) {
	var steps []step // from the end
	for {
		switch x := n.(type) {
		case *ast.ChainNode: // data?.a is data.a: paths are total
			n = x.Node
		case *ast.MemberNode:
			s, ok := stepOf(x.Property)
			if !ok {
				return nil, false
			}
			steps = append(steps, s)
			n = x.Node
		case *ast.IdentifierNode:
			return rootedPath(x.Value, steps)
		default:
			return nil, false
		}
	}
}

func rootedPath(root string, backwards []step) (*path, bool) {
	switch {
	case root == "data":
		p := &path{steps: make([]step, len(backwards))}
		for i, s := range backwards {
			p.steps[len(backwards)-1-i] = s
		}
		return p, true
	case root == "event" && len(backwards) == 1:
		f := fieldNamed(backwards[0].key)
		return &path{field: f}, f != fieldNone
	}
	return nil, false
}

func stepOf(prop ast.Node) (step, bool) {
	if s, ok := prop.(*ast.StringNode); ok {
		return step{key: s.Value}, true
	}
	if n, ok := numberOf(prop); ok && n.isInt {
		return step{index: n.i, isIndex: true}, true
	}
	return step{}, false
}

// number is a numeric literal.
type number struct {
	i     int
	f     float64 // the same as a float
	isInt bool
}

func (n number) value() any {
	if n.isInt {
		return n.i
	}
	return n.f
}

// numberOf recognizes a numeric literal with or without a minus.
func numberOf(n ast.Node) (number, bool) {
	switch x := n.(type) {
	case *ast.IntegerNode:
		return number{i: x.Value, f: float64(x.Value), isInt: true}, true
	case *ast.FloatNode:
		return number{f: x.Value}, true
	case *ast.UnaryNode:
		if v, ok := numberOf(x.Node); ok && x.Operator == "-" {
			return number{i: -v.i, f: -v.f, isInt: v.isInt}, true
		}
	}
	return number{}, false
}
