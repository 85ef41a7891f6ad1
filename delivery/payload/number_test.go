package payload

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestNumbersAreWhatJavaScriptPrints(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"0": "0", "-0": "0", "0.0": "0", "-0.0e5": "0", "0e999999999999999999999": "0", "0e-5": "0",
		"7": "7", "-7": "-7", "1.0": "1", "1.50": "1.5", "1E2": "100", "1e+2": "100", "12e-1": "1.2", "-1.25E-1": "-0.125",
		"0.1": "0.1", "0.10": "0.1", "100": "100", "100.00": "100", "00": "",
		"999999999999999":                        "999999999999999",
		"9007199254740991":                       "9007199254740991",
		"-9007199254740991":                      "-9007199254740991",
		"9007199254740992":                       "9007199254740992",
		"9007199254740994":                       "9007199254740994",
		"1e20":                                   "100000000000000000000",
		"1e21":                                   "1e+21",
		"123456789012345680000":                  "123456789012345680000",
		"1234567890123456800000":                 "1.2345678901234568e+21",
		"12345678901234567e4":                    "123456789012345670000",
		"0.000001":                               "0.000001",
		"0.0000001":                              "1e-7",
		"0.00000123":                             "0.00000123",
		"0.000000123":                            "1.23e-7",
		"123e-20":                                "1.23e-18",
		"5e-324":                                 "5e-324",
		"0.5e-323":                               "5e-324",
		"2.2250738585072014e-308":                "2.2250738585072014e-308",
		"1.7976931348623157e308":                 "1.7976931348623157e+308",
		"1.7976931348623157E+308":                "1.7976931348623157e+308",
		"0.30000000000000004":                    "0.30000000000000004",
		"1" + strings.Repeat("0", 300) + "e-300": "1",
		"0." + strings.Repeat("0", 299) + "1e300":         "1",
		"1" + strings.Repeat("0", 200_000) + "e-200000":   "1",
		"0." + strings.Repeat("0", 200_000) + "25e200001": "2.5",
		"1" + strings.Repeat("0", 308):                    "1e+308",
	} {
		got, err := AppendStable(nil, []byte(in))
		if want == "" {
			if err == nil {
				t.Errorf("%.40s was accepted as %s", in, got)
			}
			continue
		}
		if err != nil || string(got) != want {
			t.Errorf("%.40s: got %s, %v, want %s", in, got, err, want)
		}
	}
}

func TestNumbersJavaScriptWouldChangeAreRefused(t *testing.T) {
	t.Parallel()
	for in, reason := range map[string]string{
		"9007199254740993":                     "as 9007199254740992: send it as a string",
		"-9007199254740993":                    "as -9007199254740992: send it as a string",
		"12345678901234567":                    "as 12345678901234568: send",
		"123456789012345678":                   "more than 17 significant digits",
		"0.1000000000000000055511151231257827": "more than 17 significant digits",
		"0.10000000000000001":                  "as 0.1: send",
		"1.7976931348623158e308":               "as 1.7976931348623157e+308: send",
		"1.7976931348623159e308":               "too large",
		"1e309":                                "too large",
		"1e400":                                "too large",
		"-1e999999999999999999999999":          "too large",
		"1e-324":                               "as 0: send",
		"3e-324":                               "as 5e-324: send",
		"4.94065645841247e-324":                "as 5e-324: send",
		"1e-400":                               "as 0: send",
		"-1e-999999999999999999999999":         "as 0: send",
		"2.225073858507201e-308":               "",
		"1" + strings.Repeat("0", 400):         "too large",
	} {
		_, err := AppendStable(nil, []byte("["+in+"]"))
		if reason == "" {
			if err != nil {
				t.Errorf("%s: %v", in, err)
			}
			continue
		}
		if at := mustBe(t, err, Value, "/0", reason); at != 1 {
			t.Errorf("%s: at byte %d", in, at)
		}
	}
}

// Every binary64 number, printed shortest, is accepted and comes back as
// ECMAScript prints it; its neighbours in the last of 17 digits only if they
// are another number's shortest form.
func TestRandomDoublesComeBack(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		f := math.Float64frombits(rng.Uint64())
		if math.IsNaN(f) || math.IsInf(f, 0) {
			continue
		}
		for _, format := range []byte("eg") {
			in := strconv.AppendFloat(nil, f, format, -1, 64)
			out, err := AppendStable(nil, in)
			if err != nil {
				t.Fatalf("%s: %v", in, err)
			}
			if back, err := strconv.ParseFloat(string(out), 64); err != nil || back != f {
				t.Fatalf("%s came out as %s", in, out)
			}
		}
		long := strconv.AppendFloat(nil, f, 'e', 16, 64)
		short := strconv.AppendFloat(nil, f, 'e', -1, 64)
		_, err := AppendStable(nil, long)
		mantissa, exponent, _ := strings.Cut(string(long), "e")
		same := strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")+"e"+exponent == string(short)
		if (err == nil) != same {
			t.Fatalf("%s, shortest %s: %v", long, short, err)
		}
	}
}

// 200 KB of digits are read once: this took 0.3 ms where it was written, and
// arithmetic on such a number would take minutes.
func TestLongNumbersCostOnePass(t *testing.T) {
	t.Parallel()
	start := time.Now()
	for _, in := range []string{
		strings.Repeat("7", 200_000),
		"1" + strings.Repeat("0", 200_000) + "1",
		"0." + strings.Repeat("0", 100_000) + strings.Repeat("3", 100_000),
		"1e" + strings.Repeat("9", 200_000),
		"1e-" + strings.Repeat("0", 200_000) + "1",
	} {
		_, _ = AppendStable(nil, []byte(in))
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}
