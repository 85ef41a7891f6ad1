package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Receipt is what ingest answers for one event.
type Receipt struct {
	ID         string `json:"id"`
	Duplicate  bool   `json:"duplicate"`
	Deliveries []struct {
		ID       string   `json:"id"`
		Endpoint string   `json:"endpoint"`
		Backups  []string `json:"backups"`
		Route    string   `json:"route"`
	} `json:"deliveries"`
}

// Delivery is the part of the admin API's delivery that the examples read.
type Delivery struct {
	ID       string    `json:"id"`
	State    string    `json:"state"`
	Attempts []Attempt `json:"attempts"`
}

// Attempt is one HTTP try as the log has it.
type Attempt struct {
	N        int    `json:"n"`
	Endpoint string `json:"endpoint"`
	Status   int    `json:"status"`
	Outcome  string `json:"outcome"`
}

// Page is one page of a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

// Post sends a JSON body and returns the status with the answer's body. A non-2xx status is not an error: what it means
// is the caller's business.
func Post(ctx context.Context, client *http.Client, url string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("preparing a request to %s: %w", url, err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("posting: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("reading the answer: %w", err)
	}
	return res.StatusCode, answer, nil
}

// Get reads a JSON document from the admin API into v.
func Get(ctx context.Context, client *http.Client, url string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("preparing a request to %s: %w", url, err)
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("reading %s: %w", url, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", url, res.Status, answer)
	}
	if err := json.Unmarshal(answer, v); err != nil {
		return fmt.Errorf("GET %s: %w in %s", url, err, answer)
	}
	return nil
}
