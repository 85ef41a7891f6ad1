package memory_test

import (
	"testing"

	"github.com/atoship/caddy-webhooks/delivery/store/memory"
	"github.com/atoship/caddy-webhooks/delivery/store/storetest"
)

func opened(t *testing.T, s *memory.Store) storetest.Opened {
	t.Cleanup(func() { _ = s.Close() })
	return storetest.Opened{
		Store: s,
		Crash: func(t *testing.T) storetest.Opened { return opened(t, s.Crash()) },
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Opened { return opened(t, memory.New()) })
}
