package sign

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxSignatureBytes bounds the Signature-Input and Signature that are
// parsed: ten labels of ours take 3 KB, and parsing is work for strangers.
const maxSignatureBytes = 16 << 10

// Verify refuses: the headers alone do not tell what was signed.
func (s *rfcKeys) Verify(http.Header, []byte, time.Time) (string, error) {
	return "", fmt.Errorf("%w: scheme rfc9421 signs method and URL too, see VerifyRequest", ErrBadSignature)
}

// VerifyRequest takes signatures under any label and keyid, and ones that
// cover more than ours do. It checks them before created, so that only the
// holder of a genuine message learns that it is stale.
func (s *rfcKeys) VerifyRequest(r *http.Request, body []byte, now time.Time) (string, error) {
	id, err := single(r.Header, headerID)
	if err != nil {
		return "", err
	}
	var fields [3]string
	for i, name := range [...]string{headerDigest, headerInput, headerSignatures} {
		fields[i] = strings.Join(r.Header[name], ", ") // a list may come in several lines
		switch {
		case fields[i] == "":
			return "", fmt.Errorf("%w: %s", ErrMissingHeader, name)
		case len(fields[i]) > maxSignatureBytes:
			return "", ErrBadSignature
		}
	}
	inputs, ok := parseInputs(fields[1])
	signatures, okSignatures := parseBytes(fields[2])
	if !ok || !okSignatures || !digestMatches(fields[0], body) {
		return "", ErrBadSignature
	}
	live := slices.DeleteFunc(slices.Clone(s.keys), func(k *rfcKey) bool { return !k.live(now) })
	if len(live) == 0 {
		return "", noSecret(toVerify, "rfc9421")
	}
	if err := s.check(r, inputs, signatures, live, now); err != nil {
		return "", err
	}
	return id, nil
}

// check looks for a signature that covers enough, was made by a live key, and
// is fresh. One that is genuine but stale decides only when no other holds.
func (s *rfcKeys) check(r *http.Request, inputs []input, signatures map[string][]byte, live []*rfcKey, now time.Time) error {
	t, err := targetOfRequest(r), ErrBadSignature
	checks := 0
	for _, in := range inputs {
		signature := signatures[in.label]
		if signature == nil || in.created == 0 || !in.covers(covered) {
			continue
		}
		base, ok := t.appendLines(nil, r.Header, in.components)
		if !ok {
			continue
		}
		base = append(append(base, paramsLine...), in.text...)
		for _, k := range live {
			if in.alg != "" && in.alg != k.alg {
				continue
			}
			if checks++; checks > maxChecks {
				return err
			}
			if !k.verify(base, signature) {
				continue
			}
			if !stale(in.created, now, s.tolerance) && (in.expires == 0 || now.Unix() < in.expires) {
				return nil
			}
			err = ErrStale
		}
	}
	return err
}
