package farline

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds whatever a test waits for.
const patience = time.Minute

// lay makes a line that goes with the test, which is skipped where there can be none.
func lay(t testing.TB, o Options) *Line {
	t.Helper()
	l, err := New(o)
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// connect gives both ends of a connection from near to far.
func connect(t testing.TB, l *Line) (near, far net.Conn) {
	t.Helper()
	listener, err := l.Far().Listen(0)
	must(t, err)
	defer func() { _ = listener.Close() }()
	accepted := make(chan net.Conn, 1)
	go func() {
		defer close(accepted)
		if c, err := listener.Accept(); err == nil {
			accepted <- c
		}
	}()
	near, err = l.Near().Dial(listener.Addr().String())
	must(t, err)
	far = <-accepted
	if far == nil {
		t.Fatal("nobody came")
	}
	for _, c := range []net.Conn{near, far} {
		must(t, c.SetDeadline(time.Now().Add(patience)))
		t.Cleanup(func() { _ = c.Close() })
	}
	return near, far
}

// echo answers each byte.
func echo(c net.Conn) { _, _ = io.Copy(c, c) }

// roundTrip is the shortest of a few.
func roundTrip(t testing.TB, c net.Conn) time.Duration {
	t.Helper()
	best := patience
	for range 5 {
		begun := time.Now()
		_, err := c.Write([]byte("?"))
		must(t, err)
		_, err = io.ReadFull(c, make([]byte, 1))
		must(t, err)
		best = min(best, time.Since(begun))
	}
	return best
}

func TestRoundTrip(t *testing.T) {
	for _, delay := range []time.Duration{0, 10 * time.Millisecond, 150 * time.Millisecond} {
		near, far := connect(t, lay(t, Options{Delay: delay}))
		go echo(far)
		got := roundTrip(t, near)
		if got < 2*delay || got > 2*delay+60*time.Millisecond {
			t.Errorf("one way takes %v, a round trip takes %v", delay, got)
		}
	}
}

// transfer sends size bytes from far to near, and tells the sum of what came.
func transfer(t testing.TB, near, far net.Conn, size int64) (sent, came [32]byte, took time.Duration) {
	t.Helper()
	begun := time.Now()
	end := make(chan error, 1)
	h := sha256.New()
	go func() {
		_, err := io.Copy(io.MultiWriter(far, h), io.LimitReader(rand.NewChaCha8([32]byte{1}), size))
		end <- errors.Join(err, far.(*net.TCPConn).CloseWrite())
	}()
	got := sha256.New()
	n, err := io.Copy(got, near)
	must(t, err)
	must(t, <-end)
	if n != size {
		t.Fatalf("%d bytes came of %d", n, size)
	}
	return [32]byte(h.Sum(nil)), [32]byte(got.Sum(nil)), time.Since(begun)
}

func TestRate(t *testing.T) {
	const rate, size = 1_000_000, 3_000_000
	l := lay(t, Options{Delay: 5 * time.Millisecond, Rate: rate})
	near, far := connect(t, l)
	sent, came, took := transfer(t, near, far, size)
	if sent != came {
		t.Error("other bytes came than were sent")
	}
	// How near it comes to the rate is a matter of the machine.
	if got := size / took.Seconds(); got > rate {
		t.Errorf("%.0f bytes/s over a line of %d", got, rate)
	}
}

// TestRateInFlight slows a line down while it is full.
func TestRateInFlight(t *testing.T) {
	l := lay(t, Options{Delay: 5 * time.Millisecond, Rate: 4_000_000})
	near, far := connect(t, l)
	go func() { _, _ = io.Copy(far, rand.NewChaCha8([32]byte{2})) }()
	second := func() float64 {
		begun := time.Now()
		_, before := l.Traffic()
		buffer := make([]byte, 64<<10)
		for time.Since(begun) < time.Second {
			_, err := near.Read(buffer)
			must(t, err)
		}
		_, after := l.Traffic()
		return float64(after.Bytes-before.Bytes) / time.Since(begun).Seconds()
	}
	second()
	if got := second(); got > 4.2e6 {
		t.Errorf("%.0f bytes/s over a line of 4,000,000", got)
	}
	l.SetRate(500_000)
	if got := second(); got > 650e3 {
		t.Errorf("%.0f bytes/s over a line that was slowed down to 500,000", got)
	}
}

// BenchmarkLargeAndFar is what the package is for: much, over a long way. It tells
// what the line carries in the best of five spells, beside its rate of 24 MB/s.
func BenchmarkLargeAndFar(b *testing.B) {
	const rate = 24_000_000
	for b.Loop() {
		l := lay(b, Options{Delay: 300 * time.Millisecond, Rate: rate, Window: 64 << 20})
		near, far := connect(b, l)
		go func() { _, _ = io.Copy(far, rand.NewChaCha8([32]byte{2})) }()
		// TCP takes some round trips to find out what the line carries.
		var best float64
		buffer := make([]byte, 256<<10)
		for range 5 {
			_, before := l.Traffic()
			begun := time.Now()
			for time.Since(begun) < 4*time.Second {
				_, err := near.Read(buffer)
				must(b, err)
			}
			_, after := l.Traffic()
			best = max(best, float64(after.Bytes-before.Bytes)/time.Since(begun).Seconds())
		}
		b.ReportMetric(best/1e6, "MB/s")
	}
}

// TestLoss counts packets of UDP: nobody sends them again.
func TestLoss(t *testing.T) {
	const packets, loss = 2000, 0.1
	counted := func(seed uint64) (arrived []uint32, lost int64) {
		l := lay(t, Options{Loss: loss, Seed: seed})
		var at, from net.PacketConn
		must(t, l.Far().Do(func() (err error) { at, err = net.ListenPacket("udp4", "10.99.0.2:0"); return err }))
		must(t, l.Near().Do(func() (err error) { from, err = net.ListenPacket("udp4", "10.99.0.1:0"); return err }))
		defer func() { _ = at.Close(); _ = from.Close() }()
		must(t, at.SetDeadline(time.Now().Add(patience)))
		buffer := make([]byte, 64)
		for i := range packets {
			out, _ := l.Traffic()
			_, err := from.WriteTo(binary.BigEndian.AppendUint32(nil, uint32(i)), at.LocalAddr())
			must(t, err)
			for { // one at a time, so that no buffer runs over
				now, _ := l.Traffic()
				if now.Lost > out.Lost {
					break
				}
				if now.Packets > out.Packets {
					n, _, err := at.ReadFrom(buffer)
					must(t, err)
					arrived = append(arrived, binary.BigEndian.Uint32(buffer[:n]))
					break
				}
			}
		}
		out, _ := l.Traffic()
		return arrived, out.Lost
	}
	first, lost := counted(7)
	if share := float64(lost) / packets; share < 0.07 || share > 0.13 {
		t.Errorf("%d of %d packets were lost, want a tenth", lost, packets)
	}
	for i := 1; i < len(first); i++ {
		if first[i] <= first[i-1] {
			t.Fatalf("packet %d came after packet %d", first[i], first[i-1])
		}
	}
	if again, _ := counted(7); len(again) != len(first) || again[len(again)-1] != first[len(first)-1] {
		t.Error("the same seed lost other packets")
	}
}

// TestLossyTransfer lets TCP mend what is lost.
func TestLossyTransfer(t *testing.T) {
	l := lay(t, Options{Delay: 2 * time.Millisecond, Rate: 4_000_000, Loss: 0.02, Seed: 3})
	near, far := connect(t, l)
	sent, came, _ := transfer(t, near, far, 2_000_000)
	if _, in := l.Traffic(); sent != came || in.Lost == 0 {
		t.Errorf("sent equals came: %t, lost: %d", sent == came, in.Lost)
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		name string
		take func(*Line, bool)
		far  bool // what near sends arrives nevertheless
	}{
		{"cut", (*Line).Cut, false},
		{"black hole", (*Line).Blackhole, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := lay(t, Options{Delay: time.Millisecond})
			near, far := connect(t, l)
			_, err := near.Write([]byte("a"))
			must(t, err)
			one := make([]byte, 1)
			_, err = io.ReadFull(far, one)
			must(t, err)
			c.take(l, true)
			_, err = near.Write([]byte("b"))
			must(t, err)
			_, err = far.Write([]byte("c"))
			must(t, err)
			must(t, near.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
			if _, err = near.Read(one); err == nil {
				t.Error("something came to the near end")
			}
			must(t, far.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
			if _, err = far.Read(one); (err == nil) != c.far {
				t.Errorf("the far end read: %v", err)
			}
			c.take(l, false)
			must(t, near.SetReadDeadline(time.Now().Add(patience)))
			if _, err = io.ReadFull(near, one); err != nil || one[0] != 'c' {
				t.Errorf("after it the near end read %q, %v", one, err)
			}
		})
	}
}

func TestReset(t *testing.T) {
	l := lay(t, Options{Delay: time.Millisecond})
	near, far := connect(t, l)
	go echo(far)
	roundTrip(t, near)
	l.Reset()
	_, err := near.Write([]byte("?"))
	must(t, err)
	if _, err = near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the near end read: %v", err)
	}
	if _, err = far.Write([]byte("?")); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("the far end wrote: %v", err)
	}
	near, far = connect(t, l)
	go echo(far)
	roundTrip(t, near) // the next connection lives
}

// TestStart starts a program in a namespace: it sees that place's addresses.
func TestStart(t *testing.T) {
	l := lay(t, Options{})
	listener, err := l.Far().Listen(0)
	must(t, err)
	defer func() { _ = listener.Close() }()
	c := exec.Command("cat", "/proc/net/fib_trie", "/proc/net/route")
	var out bytes.Buffer
	c.Stdout = &out
	must(t, l.Near().Start(c))
	must(t, c.Wait())
	if s := out.String(); !strings.Contains(s, "10.99.0.1") || !strings.Contains(s, "line0\t00000000\t0200630A") {
		t.Errorf("it saw %s", s)
	}
}
