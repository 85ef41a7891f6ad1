package caddymodule

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/retry"
)

// authority is a private certificate authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := new(authority)
	a.cert, a.key = a.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// sign makes a certificate; an authority without one signs its own.
func (a *authority) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// server is a certificate for 127.0.0.1 and the names, good until then.
func (a *authority) server(t *testing.T, until time.Time, names ...string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{NotAfter: until, DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if len(names) == 0 {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	cert, key := a.sign(t, template)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// client is a client certificate in files.
func (a *authority) client(t *testing.T, name string) *ClientAuth {
	t.Helper()
	cert, key := a.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := &ClientAuth{Cert: filepath.Join(dir, "client.crt"), Key: filepath.Join(dir, "client.key")}
	for file, block := range map[string]*pem.Block{
		files.Cert: {Type: "CERTIFICATE", Bytes: cert.Raw},
		files.Key:  {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// tlsReceiver is an endpoint with TLS settings of its own. It keeps the name it was last asked for and the client certificate's.
type tlsReceiver struct {
	*httptest.Server
	asked, client atomic.Value
}

func startTLSReceiver(t *testing.T, config *tls.Config) *tlsReceiver {
	t.Helper()
	r := new(tlsReceiver)
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		r.asked.Store(req.TLS.ServerName)
		name := "nobody"
		if len(req.TLS.PeerCertificates) > 0 {
			name = req.TLS.PeerCertificates[0].Subject.CommonName
		}
		r.client.Store(name)
	}))
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.TLS = config
	r.StartTLS()
	t.Cleanup(r.Close)
	return r
}

// attempt makes one request as deliveries do, and says how it ended.
func attempt(t *testing.T, e *delivery.Endpoint) retry.Verdict {
	t.Helper()
	result := retry.Result{Now: time.Now()}
	resp, err := e.Transport.RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodPost, e.URL.String(), nil))
	if result.Err = err; err == nil {
		result.Status = resp.StatusCode
		_, result.Err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	return retry.Classify(result)
}

// Each row is an endpoint's TLS and settings for it, and how an attempt must end.
func TestEndpointTLS(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	here, inside := ours.server(t, soon), ours.server(t, soon, "orders.internal")
	trust := func(a *authority, change func(*EndpointTLS)) *EndpointTLS {
		settings := trusting(t, a.cert)
		if change != nil {
			change(settings)
		}
		return settings
	}
	named := func(name string) func(*EndpointTLS) { return func(s *EndpointTLS) { s.ServerName = name } }
	showing := func(c *ClientAuth) func(*EndpointTLS) { return func(s *EndpointTLS) { s.ClientAuth = c } }
	mutual := &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours.pool()}

	cases := []struct {
		name     string
		server   *tls.Config
		cert     tls.Certificate
		settings *EndpointTLS
		want     string // outcome and detail
	}{
		{"a private authority that is trusted", nil, here, trust(ours, nil), "delivered"},
		{"a private authority without trust_pool", nil, here, nil, "tls_error unknown_authority"},
		{"another private authority than the one trusted", nil, here, trust(theirs, nil), "tls_error unknown_authority"},
		{"a certificate that has expired", nil, ours.server(t, past), trust(ours, nil), "tls_error certificate_expired"},
		{"a certificate for another name", nil, inside, trust(ours, nil), "tls_error hostname_mismatch"},
		{"a certificate for the name in server_name", nil, inside, trust(ours, named("orders.internal")), "delivered"},
		{"a certificate for another name than server_name", nil, here, trust(ours, named("orders.internal")), "tls_error hostname_mismatch"},
		{"a client certificate where one is required", mutual, here, trust(ours, showing(ours.client(t, "gateway"))), "delivered"},
		{"no client certificate where one is required", mutual, here, trust(ours, nil), "tls_error alert"},
		{"a client certificate of the wrong authority", mutual, here, trust(ours, showing(theirs.client(t, "gateway"))), "tls_error alert"},
		{"a client certificate where none is asked for", nil, here, trust(ours, showing(ours.client(t, "gateway"))), "delivered"},
		{"nothing newer than TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, here, trust(ours, nil), "tls_error alert"},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, here, trust(ours, nil), "delivered"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			config := new(tls.Config)
			if c.server != nil {
				config = c.server.Clone()
			}
			config.Certificates = []tls.Certificate{c.cert}
			r := startTLSReceiver(t, config)
			p, _, err := planOf(t, &App{
				Egress:   []Egress{{Allow: []string{"127.0.0.1"}, Ports: []string{"any"}}},
				Endpoint: []Endpoint{endpoint("a", func(e *Endpoint) { e.URL, e.TLS = r.URL, c.settings })},
			})
			if err != nil {
				t.Fatal(err)
			}
			v := attempt(t, p.Endpoints["a"])
			got := v.Outcome.String()
			if v.Detail != "" {
				got += " " + v.Detail
			}
			if got != c.want {
				t.Errorf("ended %s, want %s", got, c.want)
			}
			if reached := r.client.Load() != nil; reached != (c.want == "delivered") {
				t.Errorf("the request reached the endpoint: %v", reached)
			}
			if c.want == "delivered" && c.settings.ServerName != "" && r.asked.Load() != c.settings.ServerName {
				t.Errorf("asked for %q", r.asked.Load())
			}
		})
	}
}

// Two endpoints at one address: what one shows must not vouch for the other, however their attempts are mixed.
func TestConnectionsOfTwoIdentitiesNeverCross(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	ca := newAuthority(t, "ours")
	r := startTLSReceiver(t, &tls.Config{
		Certificates: []tls.Certificate{ca.server(t, time.Now().Add(time.Hour))}, ClientAuth: tls.RequestClientCert,
	})
	settings := func(client string) *EndpointTLS {
		s := trusting(t, ca.cert)
		if client != "nobody" {
			s.ClientAuth = ca.client(t, client)
		}
		return s
	}
	names := []string{"nobody", "alice", "bob"}
	app := &App{Egress: []Egress{{Allow: []string{"127.0.0.1"}, Ports: []string{"any"}}}}
	for _, name := range names {
		app.Endpoint = append(app.Endpoint, endpoint(name, func(e *Endpoint) { e.URL, e.TLS = r.URL, settings(name) }))
	}
	p, _, err := planOf(t, app)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for _, name := range names {
			if v := attempt(t, p.Endpoints[name]); !v.Success || r.client.Load() != name {
				t.Errorf("%s was taken for %v, outcome %s", name, r.client.Load(), v.Outcome)
			}
		}
	}
}
