package main

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// The plot's measures, in SVG's units.
const (
	plotWidth = 760
	plotLeft  = 330 // where the bars begin
	plotRow   = 34
	plotTop   = 64
	plotFoot  = 40
)

// plot draws the ratio of each case as a bar: what an event costs the gateway, over what a request costs the plain proxy.
// It has no colours of its own for text, so that it can be read on a dark page.
func (r *results) plot(w io.Writer) error {
	most := 1.0
	for _, c := range r.Cases {
		most = max(most, c.Ratio)
	}
	scale := (plotWidth - plotLeft - 60) / most
	height := plotTop + plotRow*len(r.Cases) + plotFoot
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" fill="#777">`+"\n", plotWidth, height)
	fmt.Fprintf(&b, `<text x="12" y="24" font-size="16">CPU per delivered event ÷ CPU per request of Caddy&apos;s reverse_proxy</text>`+"\n")
	fmt.Fprintf(&b, `<text x="12" y="44">%s, %s; shorter is better</text>`+"\n", html.EscapeString(r.Date), html.EscapeString(r.Machine))
	for i, c := range r.Cases {
		y := plotTop + i*plotRow
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", plotLeft-10, y+19, html.EscapeString(c.Title))
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="22" rx="3" fill="#1f88c0"/>`+"\n", plotLeft, y+4, c.Ratio*scale)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d">%.2f</text>`+"\n", plotLeft+c.Ratio*scale+6, y+19, c.Ratio)
	}
	one := plotLeft + scale
	bottom := plotTop + plotRow*len(r.Cases)
	fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#c0392b" stroke-dasharray="4 3"/>`+"\n", one, plotTop-4, one, bottom+4)
	fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" fill="#c0392b">1: the plain hop</text>`+"\n</svg>\n", one, bottom+20)
	_, err := io.WriteString(w, b.String())
	return err //nolint:wrapcheck // the caller says what it was
}
