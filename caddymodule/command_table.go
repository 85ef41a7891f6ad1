package caddymodule

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
)

// pageFlags are those of a listing.
func pageFlags(cmd *cobra.Command, filters ...string) {
	for _, f := range filters {
		name, help, _ := strings.Cut(f, ": ")
		cmd.Flags().String(name, "", help)
	}
	cmd.Flags().Int("limit", 50, "At most so many, newest first")
}

// list shows as many items as --limit says, from page after page.
func list[T any](cmd *cobra.Command, table rows[T], page func(client.Page) (client.List[T], error)) error {
	limit, _ := cmd.Flags().GetInt("limit") // defined by pageFlags
	if limit < 1 {
		return errors.New("--limit is a number from 1")
	}
	table.items = []T{}
	for item, err := range client.All(func(cursor string) (client.List[T], error) { return page(client.Page{Cursor: cursor}) }) {
		if err != nil {
			return err
		}
		if table.items = append(table.items, item); len(table.items) == limit {
			break
		}
	}
	return show(cmd, table)
}

// rows is a table: names of the columns, then a line for each item. On a terminal that is too narrow an item goes on in
// further lines, whole columns at a time: ids are there to be copied.
type rows[T any] struct {
	items []T
	head  []string
	line  func(T) []string
	none  string
}

// MarshalJSON shows the items.
func (r rows[T]) MarshalJSON() ([]byte, error) { return json.Marshal(r.items) }

const (
	// maxCell is the width of a cell in characters: ids and URLs of the usual length fit whole.
	maxCell   = 44
	columnGap = 2
)

// Draw implements drawing.
func (r rows[T]) Draw(w io.Writer) error {
	if len(r.items) == 0 {
		_, err := fmt.Fprintln(w, r.none)
		return err
	}
	table := [][]string{r.head}
	for _, item := range r.items {
		cells := r.line(item)
		for i := range cells {
			cells[i] = cell(cells[i])
		}
		table = append(table, cells)
	}
	widths := make([]int, len(r.head))
	for _, cells := range table {
		for i, c := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	breaks := fold(widths, screenWidth(w))
	var b strings.Builder
	for _, cells := range table {
		drawRow(&b, cells, widths, breaks)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// fold tells at which columns a new line begins, so that none is wider than the screen; 0: it has no edge.
func fold(widths []int, screen int) []bool {
	breaks := make([]bool, len(widths))
	x := 0
	for i, width := range widths {
		if breaks[i] = i > 0 && screen > 0 && x+columnGap+width > screen; breaks[i] {
			x = 0
		}
		if i > 0 { // between columns, or before a further line
			x += columnGap
		}
		x += width
	}
	return breaks
}

func drawRow(b *strings.Builder, cells []string, widths []int, breaks []bool) {
	pad := 0 // owed to the cell before: nothing stands behind the last of a line
	for i, c := range cells {
		switch {
		case breaks[i]:
			pad = columnGap
			b.WriteByte('\n')
		case i > 0:
			pad += columnGap
		}
		b.WriteString(strings.Repeat(" ", pad))
		b.WriteString(c)
		pad = widths[i] - utf8.RuneCountInString(c)
	}
	b.WriteByte('\n')
}

// screenWidth is that of a terminal in characters. 0: it is none, and what reads there wants a line for each item.
func screenWidth(w io.Writer) int {
	switch w := w.(type) {
	case interface{ Width() int }:
		return w.Width()
	case *os.File:
		width, _, _ := term.GetSize(int(w.Fd())) // an error: it is no terminal
		return width
	}
	return 0
}

// cell is a text for one cell: cut, and without what could steer the terminal.
func cell(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r <= 0x9f {
			return '·'
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > maxCell {
		return string(runes[:maxCell-1]) + "…"
	}
	return cmp.Or(s, "-")
}

// clock shows a moment in local time.
func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// took shows how long something took, which the API tells in whole milliseconds.
func took(ms int64) string {
	if ms == 0 {
		return "<1ms"
	}
	return (time.Duration(ms) * time.Millisecond).String()
}

// said is a line of text that a command answers with; JSON is what it answers with then.
type said struct {
	text string
	v    any
}

// MarshalJSON shows the value.
func (s said) MarshalJSON() ([]byte, error) { return json.Marshal(s.v) }

// Draw implements drawing.
func (s said) Draw(w io.Writer) error {
	_, err := fmt.Fprintln(w, s.text)
	return err
}
