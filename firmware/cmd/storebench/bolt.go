package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"cheeseboard/storage/meta"
	"cheeseboard/storage/population"
)

// bbolt is the yardstick: the same records, in the same order, so many in one
// transaction.

var bucket = []byte("records")

// boltRecords is how many records go into one transaction: those of about a
// hundred projects.
const boltRecords = 320

func openBolt(dir string) (*bbolt.DB, error) {
	return bbolt.Open(filepath.Join(dir, "bolt"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoFreelistSync: true})
}

// boltChild stores the records that come in.
func boltChild(o *childOptions, in io.Reader) (r outcome, err error) {
	begun := time.Now()
	db, err := openBolt(o.dir)
	if err != nil {
		return r, err
	}
	r.OpenMS = milliseconds(begun)
	source := &pageReader{Reader: bufio.NewReaderSize(in, 256<<10)}
	for more := true; more && err == nil; {
		err = db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bucket)
			for n := 0; n < boltRecords && err == nil; n++ {
				var key, value []byte
				if key, err = source.part(); errors.Is(err, io.EOF) {
					more = false
					return nil
				}
				key = append([]byte(nil), key...)
				if err == nil {
					value, err = source.part()
				}
				if err == nil {
					err = b.Put(key, append([]byte(nil), value...))
				}
				r.Pages++
			}
			return err
		})
	}
	r.Seconds = time.Since(begun).Seconds()
	closing := time.Now()
	err = errors.Join(err, db.Close())
	r.CloseMS = milliseconds(closing)
	return r, err
}

// boltReadChild reads heads that nobody has read since the kernel forgot them.
func boltReadChild(o *childOptions) (r outcome, err error) {
	begun := time.Now()
	db, err := openBolt(o.dir)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	r.OpenMS = milliseconds(begun)
	p := population.New(seed, o.projects)
	chance := rand.New(rand.NewPCG(seed, 1))
	keys := make([][]byte, min(1000, o.projects))
	for i := range keys {
		keys[i] = []byte("p/" + p.Name(chance.IntN(o.projects)))
	}
	sum := 0
	for _, s := range []*spread{&r.Cold, &r.Warm} {
		*s, err = reads(keys, func(key []byte) error {
			return db.View(func(tx *bbolt.Tx) error {
				value := tx.Bucket(bucket).Get(key)
				for _, b := range value {
					sum += int(b)
				}
				if value == nil {
					return fmt.Errorf("%s is not there", key)
				}
				return nil
			})
		})
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// bolt measures the yardstick: all records, then a day's worth of them again.
func (b *bench) bolt(ctx context.Context) error {
	if !b.yardstick {
		return nil
	}
	dir := b.data("bolt")
	if err := mkdir(dir); err != nil {
		return err
	}
	db, err := meta.Open(filepath.Join(b.data("all"), "meta"), meta.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var payload int64
	var day [][2][]byte
	chance := rand.New(rand.NewPCG(seed, 2))
	all, err := b.start(ctx, "bolt", "bolt", ingestLimit, &childOptions{dir: dir}, func(w pageWriter) error {
		return db.Records(func(key, value []byte) error {
			payload += int64(len(key) + len(value))
			if key[0] == 'p' && chance.Float64() < dayPart {
				day = append(day, [2][]byte{append([]byte(nil), key...), append([]byte(nil), value...)})
			}
			return errors.Join(w.part(key), w.part(value))
		})
	})
	if err != nil {
		return err
	}
	size, err := sizeOf(dir)
	if err != nil {
		return err
	}
	update, err := b.start(ctx, "bolt-day", "bolt", ingestLimit, &childOptions{dir: dir}, func(w pageWriter) error {
		for _, record := range day {
			if err := errors.Join(w.part(record[0]), w.part(record[1])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := forget(dir); err != nil {
		return err
	}
	read, err := b.start(ctx, "bolt-read", "boltread", serveLimit, &childOptions{dir: dir, projects: b.projects}, nil)
	if err != nil {
		return err
	}
	b.report.section("bbolt, the same records")
	b.report.row("on the disk", "%.1f bytes a file, %.0f MB", float64(size)/float64(b.files()), mega(size))
	b.report.row("ingest", "%s; %.0f s, %.0f s CPU; %s", all.memory(), all.Seconds, all.CPU, all.device(payload))
	b.report.row("a day's update", "the heads of %d projects, %d in a transaction; %s", len(day), boltRecords, update.device(0))
	b.report.row("reads of a head", "cold p50 %.2f ms, p99 %.2f ms, %.2f major faults; warm %.3f ms; %s", read.Cold.P50, read.Cold.P99, read.Cold.Faults, read.Warm.P50, read.memory())
	b.report.key("bolt_bytes_per_file", float64(size)/float64(b.files()))
	b.report.key("bolt_ingest_anon_mb", mega(all.anon))
	b.report.key("bolt_serve_anon_mb", mega(read.anon))
	b.report.key("bolt_update_day_mb", mega(update.wroteDevice()))
	return nil
}
