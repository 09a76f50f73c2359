// Command sick stands in for a program that runs, and is of no use to anybody.
package main

import (
	"log"
	"net/http"
	"os"
	"time"

	"cheeseboard/firmware/notify"
)

func main() {
	supervisor, err := notify.Open(os.Getenv)
	if err != nil {
		log.Fatal(err)
	}
	if err := supervisor.Say(notify.Ready); err != nil {
		log.Fatal(err)
	}
	go func() {
		for range time.Tick(time.Second) {
			_ = supervisor.Say(notify.Alive) // it is told again
		}
	}()
	log.Fatal(http.ListenAndServe(":80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"status":"failed","summary":"the metadata cannot be read by this release"}`))
	})))
}
