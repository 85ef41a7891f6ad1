package caddymodule

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/atoship/caddy-webhooks/delivery/receiver"
	"github.com/atoship/caddy-webhooks/delivery/sign"
)

// signatureFlags are what both sides of a signature have in common.
func signatureFlags(cmd *cobra.Command, schemes string) {
	cmd.Flags().StringArray("secret", nil, "Signing secret, @file, or $NAME of an environment variable; repeatable")
	cmd.Flags().StringSlice("signature", nil, "Signature scheme: "+strings.Join(sign.Names(), ", ")+" (default: "+schemes+")")
	cmd.Flags().String("header-prefix", sign.DefaultPrefix, "Prefix of the gateway's own headers")
	cmd.Flags().Duration("tolerance", sign.DefaultTolerance, "How far a signed timestamp may be off")
}

// secretsOf resolves the flags. A secret in a flag is in the shell's history and in the list of processes; @file and $NAME
// are not.
func secretsOf(cmd *cobra.Command) ([]string, error) {
	texts, _ := cmd.Flags().GetStringArray("secret") // defined by signatureFlags
	secrets := make([]string, len(texts))
	for i, text := range texts {
		if name, ok := strings.CutPrefix(text, "$"); ok {
			value, found := os.LookupEnv(name)
			if !found {
				return nil, fmt.Errorf("--secret: the environment has no %s", name)
			}
			secrets[i] = value
			continue
		}
		value, err := argument(cmd, text)
		if err != nil {
			return nil, err
		}
		secrets[i] = strings.TrimRight(string(value), "\r\n")
	}
	return secrets, nil
}

func signOptions(cmd *cobra.Command) sign.Options {
	prefix, _ := cmd.Flags().GetString("header-prefix")
	tolerance, _ := cmd.Flags().GetDuration("tolerance")
	return sign.Options{Prefix: prefix, Tolerance: tolerance}
}

func verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify --secret <secret> --headers <@file|-> --body <@file> [--signature <scheme>] [--at <RFC 3339>] [--json]",
		Short: "Says whether the signature of a request holds, and if not, why",
		Long: `
Says whether the signature of a request holds, and if not, which of the usual
mistakes would explain it: a body that was reformatted, a line break from an
editor, a secret without its prefix.

The headers are lines such as "Webhook-Id: evt_…", as curl -i or a log shows
them; a request line before them is passed over. Exits 1 if no signature holds.`,
		Example: `  $ caddy webhooks verify --secret @secret.txt --headers @headers.txt --body @body.json
  $ caddy webhooks verify --signature standard --secret '$ATOSHIP_SECRET' --headers @h.txt --body @b.json --at 2024-01-15T10:30:00Z`,
		Args: cobra.NoArgs,
		RunE: runVerify,
	}
	signatureFlags(cmd, "those that the headers have")
	cmd.Flags().String("headers", "", "The request's headers: @file, or - for standard input")
	cmd.Flags().String("body", "", "The request's body: @file, its text, or - for standard input")
	cmd.Flags().String("at", "", "When the request was received, RFC 3339 (default: now)")
	cmd.Flags().String("url", "", "The request's URL; rfc9421 signs it")
	jsonFlag(cmd)
	for _, name := range []string{"secret", "headers", "body"} {
		_ = cmd.MarkFlagRequired(name) // fails for undefined flags only
	}
	return cmd
}

func runVerify(cmd *cobra.Command, _ []string) error {
	secrets, err := secretsOf(cmd)
	if err != nil {
		return err
	}
	r, body, err := requestOf(cmd)
	if err != nil {
		return err
	}
	now := time.Now()
	if at, _ := cmd.Flags().GetString("at"); at != "" {
		if now, err = time.Parse(time.RFC3339, at); err != nil {
			return errors.New("--at is a time such as 2024-01-15T10:30:00Z")
		}
	}
	o := signOptions(cmd)
	schemes, _ := cmd.Flags().GetStringSlice("signature")
	if len(schemes) == 0 {
		if schemes = receiver.Present(r.Header, o); len(schemes) == 0 {
			return errors.New("the headers have no signature that is known here; name the scheme with --signature")
		}
	}
	var all verdicts
	for _, name := range schemes {
		v, err := receiver.Judge(r, body, name, secrets, o, now)
		if err != nil {
			return err
		}
		all = append(all, v)
	}
	if err := show(cmd, all); err != nil {
		return err
	}
	for _, v := range all {
		if v.Valid {
			return nil
		}
	}
	cmd.SilenceErrors = true // it is said
	return errors.New("no signature holds")
}

// verdicts are what verify prints.
type verdicts []receiver.Verdict

// Draw implements drawing.
func (all verdicts) Draw(w io.Writer) error {
	for _, v := range all {
		if _, err := fmt.Fprintln(w, v); err != nil {
			return err
		}
	}
	return nil
}

// requestOf puts the request together that the flags describe.
func requestOf(cmd *cobra.Command) (*http.Request, []byte, error) {
	text, _ := cmd.Flags().GetString("headers")
	lines, err := argument(cmd, text)
	if err != nil {
		return nil, nil, err
	}
	h, err := parseHeaders(lines)
	if err != nil {
		return nil, nil, fmt.Errorf("--headers: %w", err)
	}
	text, _ = cmd.Flags().GetString("body")
	body, err := argument(cmd, text)
	if err != nil {
		return nil, nil, err
	}
	text, _ = cmd.Flags().GetString("url")
	u, err := url.Parse(text)
	if err != nil {
		return nil, nil, errors.New("--url is not a URL")
	}
	return &http.Request{Method: http.MethodPost, URL: u, Host: u.Host, Header: h}, body, nil
}

// parseHeaders reads header lines, or a JSON object of them. A request line before, and what follows an empty line, is passed
// over.
func parseHeaders(lines []byte) (http.Header, error) {
	h := make(http.Header)
	if trimmed := bytes.TrimSpace(lines); bytes.HasPrefix(trimmed, []byte("{")) {
		var object map[string]string
		if err := json.Unmarshal(trimmed, &object); err != nil {
			return nil, errors.New("neither header lines nor a JSON object of strings")
		}
		for name, value := range object {
			h.Set(name, value)
		}
		return h, nil
	}
	s := bufio.NewScanner(bytes.NewReader(lines))
	s.Buffer(nil, 1<<20)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimLeft(strings.TrimRight(s.Text(), "\r"), "<> ")
		name, value, ok := strings.Cut(line, ":")
		switch {
		case line == "" && len(h) > 0:
			return h, nil
		case ok && !strings.ContainsAny(name, " \t"):
			h.Add(textproto.TrimString(name), textproto.TrimString(value))
		case line != "" && n > 1:
			return nil, fmt.Errorf("line %d is no header", n)
		}
	}
	return h, s.Err()
}

func listenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "listen [--port <port>] [--secret <secret>]… [--status <code>] [--delay <duration>] [--json]",
		Short: "Receives deliveries on this machine and prints them",
		Long: `
Receives deliveries on this machine and prints each: headers, body, and whether
its signature holds, or which of the usual mistakes was made. It answers 200 to
a signature that holds and 401 to one that does not, or what --status says.

A gateway delivers over HTTPS to public addresses only. For a test on one
machine, egress permits loopback. This is a whole Caddyfile to begin with:

    {
        webhooks {
            secret_key {env.WEBHOOKS_KEY}
            egress {
                allow 127.0.0.1
                ports any
                plain_http
            }
            endpoint desk {
                url http://127.0.0.1:9000/
                secret {env.DESK_SECRET}
                events *
            }
        }
    }
    http://localhost:8080 {
        webhooks_ingest /events {
            auth none
        }
        webhooks_dashboard /webhooks/* {
            auth none
        }
        respond 404
    }

The dashboard is at http://localhost:8080/webhooks/ then.`,
		Example: `  $ export WEBHOOKS_KEY=$(openssl rand -hex 32) DESK_SECRET=$(openssl rand -hex 32)
  $ caddy start
  $ caddy webhooks send label.created --to http://localhost:8080/events
  $ caddy webhooks endpoints check desk    # nobody listens yet: it says so
  $ caddy webhooks listen --secret '$DESK_SECRET'
  $ caddy webhooks listen --status 503 --delay 2s`,
		Args: cobra.NoArgs,
		RunE: runListen,
	}
	signatureFlags(cmd, "those that a request has")
	cmd.Flags().String("host", "127.0.0.1", "Address to listen at")
	cmd.Flags().Uint16("port", 9000, "Port to listen at; 0 for any that is free")
	cmd.Flags().Int("status", 0, "Status to answer (default: 200, or 401 to a signature that does not hold)")
	cmd.Flags().Duration("delay", 0, "Time to wait before the answer")
	cmd.Flags().Bool("json", false, "Print one JSON object a line")
	return cmd
}

func runListen(cmd *cobra.Command, _ []string) error {
	secrets, err := secretsOf(cmd)
	if err != nil {
		return err
	}
	rc := &receiver.Receiver{Secrets: secrets, Options: signOptions(cmd), Out: cmd.OutOrStdout()}
	rc.Schemes, _ = cmd.Flags().GetStringSlice("signature")
	rc.Status, _ = cmd.Flags().GetInt("status")
	rc.Delay, _ = cmd.Flags().GetDuration("delay")
	rc.JSON, _ = cmd.Flags().GetBool("json")
	if rc.Status != 0 && (rc.Status < 200 || rc.Status > 599) {
		return errors.New("--status is from 200 to 599")
	}
	host, _ := cmd.Flags().GetString("host")
	port, _ := cmd.Flags().GetUint16("port")
	l, err := net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := &http.Server{Handler: rc, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "listening at http://%s, until interrupted\n", l.Addr())
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}
