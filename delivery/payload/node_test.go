package payload

import (
	"bufio"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var (
	nodeRuns = flag.Int("payload.node", 20_000, "random documents to compare with Node")
	nodeSeed = flag.Uint64("payload.seed", 1, "seed of the random documents")
)

// TestNodeAgrees compares with the real thing: testdata/oracle.js decides for
// each document whether it had to be accepted, and whether the stable form is
// what JSON.stringify(JSON.parse(document)) prints and means the same.
func TestNodeAgrees(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIP: node not found")
	}
	node := exec.CommandContext(t.Context(), path, "testdata/oracle.js")
	in, err := node.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	node.Stderr = os.Stderr
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}

	docs := corpus(t)
	random := newDocuments(*nodeSeed)
	for range *nodeRuns {
		docs = append(docs, random.next())
	}
	// The writer is done before Wait returns: the loop below reads until Node
	// closes its end, which it does when its input ends.
	counts := make(chan map[string]int, 1)
	go func() { counts <- submit(in, docs) }()

	answers, done := bufio.NewScanner(out), ""
	for answers.Scan() {
		line := answers.Text()
		if strings.HasPrefix(line, "done ") {
			done = line
			continue
		}
		var i int
		if _, err := fmt.Sscan(line, &i); err != nil || i >= len(docs) {
			t.Fatalf("node answers %q", line)
		}
		got, err := AppendStable(nil, docs[i])
		t.Errorf("document %s\n in  %.600q\n got %.600q, %v", line, docs[i], got, err)
	}
	if err := node.Wait(); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("done %d", len(docs)); done != want {
		t.Errorf("node says %q, want %q", done, want)
	}
	n := <-counts
	t.Logf("accepted %d, refused as value %d, as syntax %d", n["A"], n["V"], n["S"])
	if *nodeRuns >= 1000 && (n["A"] < len(docs)/2 || n["V"] < len(docs)/100 || n["S"] < len(docs)/100) {
		t.Errorf("the documents do not exercise all verdicts: %v", n)
	}
}

// submit sends each document with our verdict to the oracle.
func submit(in io.WriteCloser, docs [][]byte) map[string]int {
	counts := make(map[string]int)
	w := bufio.NewWriter(in)
	for i, doc := range docs {
		out, err := AppendStable(nil, doc)
		verdict := "A"
		if e, ok := errors.AsType[*Error](err); ok {
			verdict = strings.ToUpper(e.Kind.String()[:1])
		}
		counts[verdict]++
		_, _ = fmt.Fprintf(w, "%d %s %s %s\n", i, verdict, base64.StdEncoding.EncodeToString(doc), base64.StdEncoding.EncodeToString(out))
	}
	_ = w.Flush() // of errors here the missing "done" line tells
	_ = in.Close()
	return counts
}

// corpus returns the files of testdata/corpus, each whole, and each line of
// those called .ndjson.
func corpus(tb testing.TB) (docs [][]byte) {
	tb.Helper()
	files, err := filepath.Glob("testdata/corpus/*")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no corpus: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		docs = append(docs, data)
		if filepath.Ext(file) == ".ndjson" {
			for line := range strings.Lines(string(data)) {
				docs = append(docs, []byte(line))
			}
		}
	}
	return docs
}
