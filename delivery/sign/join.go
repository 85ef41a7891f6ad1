package sign

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// New prepares the schemes of one endpoint with its secrets, newest first,
// and joins them. Each scheme signs with the secrets of the forms it takes,
// so that an endpoint may have a shared secret for one and an Ed25519 key for
// another.
//
// An endpoint that could not work is refused: two schemes that write one
// header, a scheme without a live secret of its form, a secret that no scheme
// uses. Errors name the scheme, and secrets by their place.
func New(schemes []Scheme, secrets []Secret, o Options) (Signer, error) {
	if len(schemes) == 0 {
		return nil, errors.New("preparing signatures: no scheme is given")
	}
	if err := checkForms(schemes, secrets, o); err != nil {
		return nil, err
	}
	signers := make([]Signer, len(schemes))
	writers := map[string]int{} // header to index of schemes
	for _, suffix := range [...]string{"Event", "Event-Id", "Delivery", "Attempt", "Test"} {
		writers[o.own(suffix)] = -1
	}
	for i, s := range schemes {
		var err error
		if signers[i], err = s.NewSigner(secrets, o); err != nil {
			return nil, fmt.Errorf("signature %s: %w", s.Name(), err)
		}
		for _, header := range s.Traits(o).Headers {
			first, taken := writers[header]
			switch {
			case !taken:
				writers[header] = i
			case first < 0:
				return nil, fmt.Errorf("signature %s writes the header %s, which with the header prefix %s is one of the gateway's own", s.Name(), header, o.prefix())
			case !mergeable(signers[first], signers[i]):
				return nil, fmt.Errorf("signature %s and signature %s both write the header %s: an endpoint can have one of them", schemes[first].Name(), s.Name(), header)
			}
		}
	}
	return Join(signers...), nil
}

// checkForms refuses secrets that no scheme can use, and schemes that can use
// none of the live ones.
func checkForms(schemes []Scheme, secrets []Secret, o Options) error {
	var names []string
	var all Form
	for _, s := range schemes {
		names = append(names, s.Name())
		all |= forms(s, o)
	}
	for i, secret := range secrets {
		if form := FormOf(secret.Value); form&all == 0 {
			return fmt.Errorf("secret %d is %s, which signature %s cannot use", i+1, form, strings.Join(names, " "))
		}
	}
	now := time.Now()
	for _, s := range schemes {
		takes := forms(s, o)
		of := func(secret Secret) bool { return FormOf(secret.Value)&takes != 0 }
		live := func(secret Secret) bool { return of(secret) && secret.Live(now) }
		switch {
		case !slices.ContainsFunc(secrets, of):
			return fmt.Errorf("signature %s needs %s, and no secret is one", s.Name(), takes)
		case !slices.ContainsFunc(secrets, live):
			return fmt.Errorf("signature %s needs %s, and every one has passed its end", s.Name(), takes)
		}
	}
	return nil
}

func forms(s Scheme, o Options) Form { return cmp.Or(s.Traits(o).Forms, SharedSecret) }

// Join makes one signer of several: each adds its headers, in order, and the
// first error ends it. Those of standard and standard_ed25519 become one,
// because their signatures share a single header line.
func Join(signers ...Signer) Signer {
	var list joined
	for _, s := range signers {
		i := slices.IndexFunc(list, func(have Signer) bool { return mergeable(have, s) })
		if i < 0 {
			list = append(list, s)
			continue
		}
		list[i] = list[i].(*standardKeys).with(s.(*standardKeys))
	}
	if len(list) == 1 {
		return list[0]
	}
	return list
}

// mergeable tells whether two signers write one list of Webhook-Signature:
// one has shared keys alone, the other Ed25519 keys alone.
func mergeable(a, b Signer) bool {
	x, okX := a.(*standardKeys)
	y, okY := b.(*standardKeys)
	return okX && okY && (x.shared == nil || y.shared == nil) && (x.pairs == nil || y.pairs == nil)
}

type joined []Signer

func (j joined) Sign(h http.Header, m *Message) error {
	for _, s := range j {
		if err := s.Sign(h, m); err != nil {
			return err
		}
	}
	return nil
}
