package storage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"cheeseboard/storage/meta"
)

// TestUnwritableDisk opens a folder on a file system that can only be read, as a card is
// at the end of its life, after a close and after a kill: what is here is read, what is to
// be stored is refused, nothing is touched, and once the disk can be written the folder
// can be opened anew.
func TestUnwritableDisk(t *testing.T) {
	for _, how := range []string{"closed", "killed"} {
		t.Run(how, func(t *testing.T) {
			disk := smallDisk(t, 128)
			dir := filepath.Join(disk, "data")
			s := open(t, dir, Options{})
			here := fill(t, "a", 3, 100_000)
			bringAll(t, s, here)
			if err := s.SetValue("note", []byte("well")); err != nil {
				t.Fatal(err)
			}
			if how == "killed" {
				killed := filepath.Join(disk, "killed")
				if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				closeStore(t, s)
				dir = killed
			} else {
				closeStore(t, s)
			}
			remount(t, disk, syscall.MS_RDONLY)
			for range 2 {
				s = open(t, dir, Options{Mend: true})
				whole(t, s, here)
				sound(t, s)
				if v, err := s.Value("note"); err != nil || string(v) != "well" {
					t.Errorf("a value reads %q, %v", v, err)
				}
				if space, err := s.Space(); err != nil || !s.ReadOnly() || !space.Unwritable {
					t.Errorf("%+v, %v", space, err)
				}
				refusesAll(t, s)
				closeStore(t, s)
			}
			s = open(t, dir, Options{})
			ctx, stop := context.WithTimeout(t.Context(), time.Minute)
			defer stop()
			done := make(chan struct{})
			go func() { defer close(done); s.Tend(ctx) }()
			remount(t, disk, 0)
			select {
			case <-s.Roomy():
			case <-ctx.Done():
				t.Error("it is not seen that the disk can be written")
			}
			<-done
			closeStore(t, s)
			s = open(t, dir, Options{})
			whole(t, s, here)
			sound(t, s)
			if err := s.SetValue("note", []byte("again")); err != nil {
				t.Error(err)
			}
			closeStore(t, s)
		})
	}
}

// refusesAll holds that a store takes nothing, and says why.
func refusesAll(t *testing.T, s *Store) {
	t.Helper()
	more := fill(t, "b", 1, 1000)
	_, receiveErr := s.Receive(10)
	_, beginErr := s.Begin(more.refs[0], int64(len(more.bytes[more.refs[0].Digest])))
	for what, err := range map[string]error{
		"a value": s.SetValue("note", nil), "a page": s.PutProject(more.page), "an upload": receiveErr, "a file": beginErr,
	} {
		var cause *meta.UnwritableError
		if !errors.Is(err, ErrFull) || !errors.As(err, &cause) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// remount changes whether a small disk can be written.
func remount(t *testing.T, disk string, flags uintptr) {
	t.Helper()
	for began := time.Now(); ; {
		err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|flags, "")
		if err == nil {
			return
		}
		// A child that is just being started has all files of this process still.
		if !errors.Is(err, syscall.EBUSY) || time.Since(began) > time.Minute {
			t.Fatal(err)
		}
		<-time.After(10 * time.Millisecond)
	}
}
