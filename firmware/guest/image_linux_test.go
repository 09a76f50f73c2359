package guest_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"cheeseboard/firmware/guest"
)

func TestLab(t *testing.T) {
	guest.NeedBoards(t)
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Second)
	defer stop()
	card, err := guest.Card(os.Getenv("LABIMG")).Copy(ctx, t.TempDir()+"/card.img", 512<<20)
	if err != nil {
		t.Fatal(err)
	}
	p, err := guest.Board{Model: guest.Model(os.Getenv("LABMODEL")), Card: card, Slot: 2, Ports: []int{80}, Append: "loglevel=7"}.PowerOn(t)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	fmt.Println(p.Address(80))
	for ctx.Err() == nil {
		c := http.Client{Timeout: time.Second}
		resp, err := c.Get("http://" + p.Address(80) + "/healthz")
		if err == nil {
			fmt.Println(resp.Status, time.Since(began))
			return
		}
		<-time.After(50 * time.Millisecond)
	}
}
