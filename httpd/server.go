package httpd

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"
)

// The limits of a connection. Together with the rolling write deadline they are
// all that a client can hold.
const (
	// Patience is the default time in which a client must take one slice (1 MiB)
	// of an answer: 60 s for at least 17.5 KB/s.
	Patience = 60 * time.Second

	headerTimeout  = 10 * time.Second
	bodyTimeout    = 5 * time.Second // of a request that has one, which nobody needs
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
	maxURLLength   = 4 << 10
)

// Limits are those of a server's connections that can be set; a zero value is the
// default of each.
type Limits struct {
	Header      time.Duration // in which the head of a request must come; 0: 10 s
	Idle        time.Duration // between two requests; 0: 2 min
	Send        time.Duration // in which a client must take 1 MiB; 0: Patience
	HeaderBytes int           // of a request line and its fields; 0: 16 KiB
}

// NewServer makes a server for a handler that New made. Listeners and the
// shutdown belong to the caller. Its own complaints, such as a client that
// breaks the handshake, go to log at debug; nil discards.
//
// There is no ReadTimeout: it would cancel the context of every download that
// takes longer. WriteTimeout covers what net/http answers by itself, and clears
// the deadline that the request before has left on a kept connection.
func NewServer(handler http.Handler, log *slog.Logger, l Limits) *http.Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: cmp.Or(l.Header, headerTimeout),
		WriteTimeout:      cmp.Or(l.Send, Patience),
		IdleTimeout:       cmp.Or(l.Idle, idleTimeout),
		MaxHeaderBytes:    cmp.Or(l.HeaderBytes, maxHeaderBytes),
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
