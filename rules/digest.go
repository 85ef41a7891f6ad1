package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// digest returns 16 hexadecimal digits of the SHA-256 of what a configuration
// says, each text preceded by its length, so that no two configurations read
// the same. "rules 1" is the version of this form.
func digest(c *Config) string {
	b := appendTexts(nil, "rules 1", fmt.Sprint(c.Mode))
	for _, r := range c.Routes {
		b = appendTexts(b, "route", r.Name, r.When.Text, r.Pick.Text, fmt.Sprint(r.Otherwise, r.Stop, r.OnError))
		for _, t := range r.To {
			b = appendTexts(b, "to", t.Primary)
			b = appendTexts(b, t.Backups...)
		}
		if len(r.Split) > 0 {
			b = appendTexts(b, "split", r.By.Text, fmt.Sprint(r.Split))
		}
	}
	for _, s := range c.Subscriptions {
		b = appendTexts(b, "subscription", s.Endpoint, s.When.Text, s.Tenant)
		b = appendTexts(b, s.Types...)
		b = appendTexts(b, s.Environments...)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// appendTexts appends a list, preceded by its number.
func appendTexts(b []byte, list ...string) []byte {
	b = fmt.Appendf(b, "%d\n", len(list))
	for _, t := range list {
		b = fmt.Appendf(b, "%d:%s\n", len(t), t)
	}
	return b
}
