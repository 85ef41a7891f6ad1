package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

const globals = `	auto_https off
	skip_install_trust
`

// proxyConfig is Caddy's plain hop: what a request costs when it is only passed on.
func proxyConfig(addr, receiver, cert string) string {
	transport := "keepalive_idle_conns_per_host 256"
	if cert != "" {
		transport += "\n\t\t\ttls_trust_pool file " + cert
		receiver = "https://" + receiver
	}
	return fmt.Sprintf(`{
	admin off
%s}
http://%s {
	reverse_proxy %s {
		transport http {
			%s
		}
	}
}
`, globals, addr, receiver, transport)
}

// endpointConfig is one endpoint block. A receiver without a certificate is reached over plain http, which the egress
// block permits for loopback.
func endpointConfig(name, url, events, cert string) string {
	tls := ""
	if cert != "" {
		url = strings.Replace(url, "http://", "https://", 1)
		tls = "\n\t\t\ttls {\n\t\t\t\ttrust_pool file " + cert + "\n\t\t\t}"
	}
	return fmt.Sprintf(`		endpoint %s {
			url %s
			secret whsec_YmVuY2htYXJrIHNlY3JldCAwMDAwMDAwMDAwMDAwMDE=
			events %s
			concurrency 256%s
		}
`, name, url, events, tls)
}

// gatewayConfig is a gateway's; admin is its admin endpoint, or off.
func gatewayConfig(admin, addr, store, endpoints string) string {
	return fmt.Sprintf(`{
	admin %s
%s	webhooks {
		store embedded %s
		egress {
			allow 127.0.0.1
			ports any
			plain_http
		}
%s	}
}
http://%s {
	webhooks_ingest /events {
		auth none
	}
	respond 404
}
`, admin, globals, store, endpoints, addr)
}

// launch starts the binary with a configuration made for its address, in a directory of its own.
func launch(ctx context.Context, bin, dir, name string, config func(addr, dir string) string, env ...string) (*rig.Gateway, string, error) {
	ports, err := rig.Ports(1)
	if err != nil {
		return nil, "", err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", ports[0])
	dir = filepath.Join(dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, "", fmt.Errorf("making a directory for %s: %w", name, err)
	}
	path := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(path, []byte(config(addr, dir)), 0o600); err != nil {
		return nil, "", fmt.Errorf("writing the configuration of %s: %w", name, err)
	}
	gateway, err := rig.Start(bin, path, dir, env...)
	if err != nil {
		return nil, "", err
	}
	if err := gateway.Ready(ctx, addr); err != nil {
		gateway.Kill()
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	return gateway, addr, nil
}

// subjects of the main case: the gateway, and beside it the plain hop. What the options say of batches and endpoints is
// the gateway's alone: a proxy can do neither, so its figure stays one request passed on once.
func (o options) subjects(ctx context.Context, f *field) ([]*subject, error) {
	var measured []*subject
	load := stream{path: "/events", connections: o.Connections, batch: o.Batch, size: o.Size, eventType: "bench.tick", rate: o.Rate}
	if !o.proxyOnly {
		s, err := o.gatewaySubject(ctx, f, load)
		if err != nil {
			return nil, err
		}
		measured = append(measured, s)
		if err := started(ctx, s.admin); err != nil || o.solo {
			return measured, err
		}
	}
	proxy, addr, err := launch(ctx, f.bin, f.dir, "proxy", func(addr, _ string) string { return proxyConfig(addr, f.targets[0], f.cert.CertFile) })
	if err != nil {
		return measured, err
	}
	load.addr, load.path, load.batch = addr, "/", 1
	return append(measured, &subject{name: "reverse_proxy", gateway: proxy, load: load, fanout: 1}), nil
}

func (o options) gatewaySubject(ctx context.Context, f *field, load stream) (*subject, error) {
	endpoints, err := o.endpoints(f)
	if err != nil {
		return nil, err
	}
	gateway, addr, err := launch(ctx, f.bin, f.dir, "gateway", func(addr, dir string) string {
		return gatewayConfig("unix/"+adminSocket(dir), addr, filepath.Join(dir, "store"), endpoints)
	})
	if err != nil {
		return nil, err
	}
	load.addr, load.kinds, load.counted = addr, o.Spread, o.Spread
	if o.Failing {
		load.counted -= failing
	}
	if o.Ahead > 0 {
		load.ahead, load.receiver = o.Ahead, f.control
	}
	return &subject{name: "gateway", gateway: gateway, load: load, fanout: o.Endpoints, admin: adminClient(filepath.Join(f.dir, "gateway"))}, nil
}

// failing endpoints are the last ones, where some fail.
const failing = 3

// endpoints are those of the main case: all get each event, or each gets its share.
func (o options) endpoints(f *field) (string, error) {
	var b strings.Builder
	for i := range max(o.Spread, o.Endpoints) {
		name, events := fmt.Sprintf("e%d", i+1), "bench.tick"
		if o.Spread > 0 {
			events = fmt.Sprintf("bench.tick%d", i)
		}
		url := "http://" + f.targets[i%len(f.targets)] + "/" + name
		if o.Failing {
			switch o.Spread - i {
			case 3:
				url = "http://" + f.targets[i] + "/hang"
			case 2:
				url = "http://" + f.targets[i] + "/fail"
			case 1:
				ports, err := rig.Ports(1)
				if err != nil {
					return "", err //nolint:wrapcheck // says it all
				}
				url = fmt.Sprintf("http://127.0.0.1:%d/", ports[0])
			}
		}
		b.WriteString(endpointConfig(name, url, events, f.cert.CertFile))
	}
	return b.String(), nil
}

// started waits for the gateway's engine: Caddy listens a little earlier.
func started(ctx context.Context, admin *http.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		var stats struct{}
		err := rig.Get(ctx, admin, "http://gateway/webhooks/stats", &stats)
		if err == nil || ctx.Err() != nil {
			return err //nolint:wrapcheck // says it all
		}
		time.Sleep(time.Millisecond)
	}
}

// neighbours are the subjects of the isolation case: a healthy endpoint alone, and the same beside one that takes every
// request and never answers. Two gateways, so that nothing of the second one's backlog is left over in the first one's
// rounds.
func (o options) neighbours(ctx context.Context, f *field) ([]*subject, error) {
	healthy := endpointConfig("healthy", "http://"+f.targets[0]+"/", "bench.tick", f.cert.CertFile)
	hanging := endpointConfig("hanging", "http://"+f.targets[0]+"/hang", "bench.hang", f.cert.CertFile)
	var measured []*subject
	for _, name := range []string{"alone", "beside"} {
		gateway, addr, err := launch(ctx, f.bin, f.dir, name, func(addr, dir string) string {
			return gatewayConfig("off", addr, filepath.Join(dir, "store"), healthy+hanging)
		})
		if err != nil {
			return measured, err
		}
		load := stream{
			addr: addr, path: "/events", connections: o.Connections / 2, batch: 1, size: o.Size,
			eventType: "bench.tick", rate: o.Rate,
		}
		s := &subject{name: name, gateway: gateway, load: load, fanout: 1}
		if name == "beside" {
			load.eventType = "bench.hang"
			s.beside = &load
		}
		measured = append(measured, s)
	}
	return measured, nil
}
