package app_test

import (
	"log/slog"
	"net/http/httptest"
	"testing"

	"cheeseboard/firmware/app"
	"cheeseboard/firmware/config"
)

// TestGuessersDoNotLockReadersOut: behind a router, and in a network of IPv6, all laptops
// are one to whoever counts wrong tokens. One with an old token keeps no other from reading.
func TestGuessersDoNotLockReadersOut(t *testing.T) {
	c := app.DefaultConfig()
	c.Data, c.Access.Read = t.TempDir(), config.ReadToken
	log := slog.New(slog.DiscardHandler)
	made, err := app.RunToken(t.Context(), c, log, app.TokenOrder{Add: &app.NewToken{Name: "laptops", Scope: app.TokenRead}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.Open(c, log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	front := a.Handler()
	ask := func(token string) int {
		r := httptest.NewRequest("GET", "http://box.local/simple/", nil)
		r.SetBasicAuth("__token__", token)
		w := httptest.NewRecorder()
		front.ServeHTTP(w, r)
		return w.Code
	}
	last := 0
	for tries := 0; last != 429 && tries < 50; tries++ { // a try that comes late counts, and the next waits twice as long
		last = ask("of last year")
	}
	if last != 429 {
		t.Errorf("who guesses is not slowed down: %d", last)
	}
	if got := ask(made.Secret); got != 200 {
		t.Errorf("who has the token gets %d", got)
	}
	if got := ask("of last year"); got == 200 {
		t.Error("and so may who has not")
	}
}
