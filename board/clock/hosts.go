package clock

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// kissedFor is for how long a server is left alone that does not want to be asked. A name
// of a pool is another server by then; and a box that runs for years must not come to
// have nobody left to ask.
const kissedFor = 24 * time.Hour

// Servers are the time servers of a box. It keeps in mind which of them do not want to
// be asked.
type Servers struct {
	List  func() []string // hosts, or host:port; asked for at each round
	Log   *slog.Logger    // nil discards
	Query func(context.Context, string) (Sample, error)

	mu     sync.Mutex
	kissed map[string]time.Time // when, by the monotonic clock
}

// Ask asks all of them at once and gives the answers that came; it ends with ctx. A
// server that has answered with a kiss of death is not asked again for a day.
func (s *Servers) Ask(ctx context.Context) []Sample {
	s.mu.Lock()
	var servers []string
	for _, server := range s.List() {
		if at, is := s.kissed[server]; !is || time.Since(at) >= kissedFor {
			servers = append(servers, server)
		}
	}
	s.mu.Unlock()
	query := s.Query
	if query == nil {
		query = QueryNTP
	}
	return gather(ctx, servers, func(ctx context.Context, server string) (Sample, error) {
		sample, err := query(ctx, server)
		var kiss *KissError
		if errors.As(err, &kiss) {
			s.mu.Lock()
			if s.kissed == nil {
				s.kissed = make(map[string]time.Time)
			}
			s.kissed[server] = time.Now()
			s.mu.Unlock()
		}
		return sample, err
	}, s.Log)
}

// AskDates asks web servers for the date, all at once, and gives the answers that came;
// it ends with ctx.
func AskDates(ctx context.Context, client *http.Client, addresses []string, log *slog.Logger) []Sample {
	return gather(ctx, addresses, func(ctx context.Context, address string) (Sample, error) {
		return QueryDate(ctx, client, address)
	}, log)
}

// gather asks hosts at once.
func gather(ctx context.Context, hosts []string, query func(context.Context, string) (Sample, error), log *slog.Logger) []Sample {
	var mu sync.Mutex
	var out []Sample
	var asking sync.WaitGroup
	for _, host := range hosts {
		asking.Go(func() {
			sample, err := query(ctx, host)
			if err != nil {
				if log != nil {
					log.Debug("a host did not tell the time", "host", host, "reason", err)
				}
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, sample)
		})
	}
	asking.Wait()
	return out
}
