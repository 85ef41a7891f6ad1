package rules

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The JUnit format, as CI systems read it: of the schema that Jenkins
// publishes, the elements and attributes that GitLab, GitHub and Azure take.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		File    string        `xml:"file,attr,omitempty"`
		Failure *junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes the report as a JUnit file: one suite for each test file.
func (r *TestReport) JUnit(w io.Writer) error {
	out := junitSuites{Tests: len(r.Results), Failures: r.Failed}
	places := map[string]int{}
	for i := range r.Results {
		t := &r.Results[i]
		n, known := places[t.file]
		if !known {
			n = len(out.Suites)
			places[t.file] = n
			out.Suites = append(out.Suites, junitSuite{Name: t.file})
		}
		s := &out.Suites[n]
		c := junitCase{Name: t.Name, Class: t.file, File: t.Pos}
		s.Tests++
		if len(t.Differences) > 0 {
			s.Failures++
			c.Failure = &junitFailure{Message: strings.Join(t.Differences, "; "), Type: "difference"}
			if t.Explanation != nil {
				c.Failure.Text = t.Explanation.String()
			}
		}
		s.Cases = append(s.Cases, c)
	}
	b, err := xml.MarshalIndent(out, "", "  ")
	if err != nil {
		return fmt.Errorf("writing JUnit: %w", err)
	}
	return write(w, xml.Header+string(b)+"\n")
}
