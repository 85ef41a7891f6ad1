package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/atoship/caddy-webhooks/delivery/gate"
)

// wordOff switches an option off that has a default, or that `defaults` sets.
const wordOff = "off"

// rateLimit reads `rate_limit <n>/<s|m|h> [burst <n>]` or `rate_limit off`.
func rateLimit(d *caddyfile.Dispenser, dst **RateLimit) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	limit := &RateLimit{Rate: d.Val()}
	if limit.Rate == wordOff {
		*dst = &RateLimit{Off: true}
		return nil
	}
	s, err := gate.ParseRate(limit.Rate)
	if err != nil {
		return d.WrapErr(err)
	}
	if d.NextArg() {
		if d.Val() != "burst" {
			return d.Errf("'%s' after the rate: only `burst <n>` may follow", d.Val())
		}
		if err := number(d, &limit.Burst, 1, s.N); err != nil {
			return err
		}
	}
	*dst = limit
	return nil
}

// offOrNumber reads a whole number from low to high, or `off`, which is 0.
func offOrNumber(d *caddyfile.Dispenser, dst **int, low, high int) error {
	n := new(int)
	*dst = n
	return orOff(d, func() error { return number(d, n, low, high) })
}

// offOrDuration reads a positive duration, or `off`, which is 0.
func offOrDuration(d *caddyfile.Dispenser, dst **caddy.Duration) error {
	v := new(caddy.Duration)
	*dst = v
	return orOff(d, func() error { return duration(d, v) })
}

// orOff takes the word `off`, or leaves the reading to read.
func orOff(d *caddyfile.Dispenser, read func() error) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	if d.Val() == wordOff {
		return nil
	}
	d.Prev()
	return read()
}

// settings translates a limit; nil and `off` are none.
func (r *RateLimit) settings() (gate.RateSettings, error) {
	if r == nil || r.Off {
		return gate.RateSettings{}, nil
	}
	s, err := gate.ParseRate(r.Rate)
	if err != nil {
		return s, err
	}
	s.Burst = r.Burst
	return s, s.Validate()
}
