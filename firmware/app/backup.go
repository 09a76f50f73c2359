package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"

	"cheeseboard/firmware/config"
	"cheeseboard/storage"
	"cheeseboard/storage/durable"
)

// BackupHeader is what a backup says of itself.
type BackupHeader = storage.BackupHeader

// Restored is what a restore did.
type Restored = storage.Restored

// RestoreOptions are those of the command.
type RestoreOptions struct {
	Replace  bool   // put the backup in the place of metadata that are there
	Settings string // write the settings of the backup to this file; "": not
}

func (a *App) backupOptions() storage.BackupOptions {
	return storage.BackupOptions{Settings: string(config.Render(a.config)), Program: Version}
}

// backup answers a command with the backup itself. One that breaks off has no end,
// which the command sees.
func (a *App) backup(w http.ResponseWriter, r *http.Request) {
	if _, err := a.Store.Backup(r.Context(), w, a.backupOptions()); err != nil {
		a.log.Error("a backup could not be made", "reason", err)
		panic(http.ErrAbortHandler)
	}
}

// RunBackup writes a backup of the metadata and settings to path, whole or not at
// all, or to out where path is "-": by the box that serves the data folder, or by
// itself. It gives the bytes that it has.
func RunBackup(ctx context.Context, c config.Config, log *slog.Logger, path string, out io.Writer) (bytes int64, err error) {
	if c, err = located(c); err != nil {
		return 0, err
	}
	var make func(io.Writer) error
	if remote, ok := dial(ctx, c.Data); ok {
		make = func(w io.Writer) error { return remote.backup(ctx, w) }
	} else {
		if err := existing(c); err != nil {
			return 0, err
		}
		make = func(w io.Writer) error {
			return once(c, log, false, func(a *App) error {
				_, err := a.Store.Backup(ctx, w, a.backupOptions())
				return err
			})
		}
	}
	fill := func(w io.Writer) error {
		counted := &counter{Writer: w}
		check, checked := checker()
		err := make(io.MultiWriter(counted, check))
		err = errors.Join(err, check.CloseWithError(err), <-checked)
		bytes = counted.n
		return err
	}
	if path == "-" {
		return bytes, fill(out)
	}
	// A password of a proxy may be in it: it is for its owner only.
	err = (&durable.Disk{}).WriteStream(path, 0o600, fill)
	return bytes, err
}

// checker reads a backup as it is written.
func checker() (*io.PipeWriter, <-chan error) {
	r, w := io.Pipe()
	checked := make(chan error, 1)
	go func() {
		_, err := storage.CheckBackup(r)
		_ = r.CloseWithError(err) // the writer must not wait for a reader that has ended
		checked <- err
	}()
	return w, checked
}

type counter struct {
	io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.n += int64(n)
	return n, err
}

func (r *remote) backup(ctx context.Context, w io.Writer) error {
	resp, err := r.do(ctx, http.MethodPost, "/backup", nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("read from the serving cheeseboard, whose log says more: %w", err)
	}
	return nil
}

// RunRestore makes the metadata of a data folder, new or existing, from a backup,
// and with a file for the settings, these too. Until the whole backup has been read
// and found right nothing is changed.
func RunRestore(ctx context.Context, c config.Config, log *slog.Logger, backup io.Reader, opts RestoreOptions, report func(Event)) error {
	c, err := located(c)
	if err != nil {
		return err
	}
	if _, ok := dial(ctx, c.Data); ok {
		return fmt.Errorf("restore into %s: a cheeseboard serves this folder; stop it first", c.Data)
	}
	if opts.Settings != "" {
		if _, err := os.Stat(opts.Settings); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("write the settings to %s: there is such a file already; name another", opts.Settings), err)
		}
	}
	done, err := storage.Restore(ctx, c.Data, backup, storage.RestoreOptions{
		Replace: opts.Replace, Reserve: noneIfZero(int64(c.Storage.Reserve)), Log: log,
	})
	if err != nil {
		return explain(err)
	}
	report(Event{Restored: &done})
	if opts.Settings == "" {
		report(Event{Note: "the backup holds the settings of its box too; restore with --settings FILE to have them"})
		return nil
	}
	settings, err := config.Parse("the settings in the backup", []byte(done.Header.Settings))
	if err != nil {
		return err
	}
	settings.Data = c.Data
	return WriteConfig(opts.Settings, settings)
}
