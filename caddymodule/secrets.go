package caddymodule

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// placeholder is what may stand in for text in the config. Others, like those of a request, have no value at load.
var placeholder = regexp.MustCompile(`\{(env|file)\.([^{}]+)\}`)

// resolve replaces {env.X} and {file.X} in text. A variable or file that is missing or empty is an error; it names the
// placeholder, never a value. Other braces are left as they are.
func resolve(text string) (string, error) {
	var failed error
	repl := caddy.NewReplacer()
	out := placeholder.ReplaceAllStringFunc(text, func(found string) string {
		value, _ := repl.GetString(found[1 : len(found)-1])
		if value == "" && failed == nil {
			what := "the environment variable is not set, or empty"
			if strings.HasPrefix(found, "{file.") {
				what = "the file is missing, unreadable or empty"
			}
			failed = fmt.Errorf("%s: %s", found, what)
		}
		return value
	})
	if failed != nil {
		return "", failed
	}
	return out, nil
}

// resolveSecret is resolve for something that should not stand in the config itself: a literal one gives a warning, which
// like every message about secrets says where it is and not what it is.
func resolveSecret(log *zap.Logger, text string, where string) (string, error) {
	switch {
	case text == "":
		return "", fmt.Errorf("%s: the secret is empty", where)
	case !placeholder.MatchString(text) && strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}"):
		return "", fmt.Errorf("%s: this is neither a secret nor a known placeholder; write {env.NAME} or {file./path}", where)
	case !placeholder.MatchString(text):
		log.Warn("a secret stands literally in the config and in every copy of it; use {env.NAME} or {file./path}",
			zap.String("where", where))
		return text, nil
	}
	secret, err := resolve(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", where, err)
	}
	return secret, nil
}
