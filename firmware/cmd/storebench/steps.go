package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"cheeseboard/storage/meta"
)

// dayPart is how many of the projects get a release on one day.
const dayPart = 0.01

// ingestGroup and updateGroup are how many pages go into one transaction.
const (
	ingestGroup = 200
	updateGroup = 100
)

func mkdir(dir string) error { return os.Mkdir(dir, 0o755) }

// files is how many the population has on day 0.
func (b *bench) files() int {
	n := 0
	for i := range b.population.Len() {
		n += b.population.Files(i)
	}
	return n
}

// feed gives the pages of projects to a child that ingests.
func (b *bench) feed(each func(yield func(i, more int) error) error) func(pageWriter) error {
	return func(w pageWriter) error {
		if err := w.part([]byte(b.upstream.address())); err != nil {
			return err
		}
		return each(func(i, more int) error { return w.page(b.population, i, more) })
	}
}

// everything is all projects as on day 0, in the order of the root list.
func (b *bench) everything(yield func(i, more int) error) error {
	for i := range b.population.Len() {
		if err := yield(i, 0); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) ingest(ctx context.Context) error {
	dir := b.data("all")
	m, err := b.start(ctx, "ingest", "ingest", ingestLimit, &childOptions{dir: dir, group: ingestGroup}, b.feed(b.everything))
	if err != nil {
		return err
	}
	payload, err := payloadOf(dir)
	if err != nil {
		return err
	}
	size, err := sizeOf(filepath.Join(dir, "meta"))
	if err != nil {
		return err
	}
	b.report.section("%d projects, %d files; notes and names counted, upstream addresses not kept", m.Pages, m.Files)
	b.report.row("on the disk", "%.1f bytes a file, %.0f MB; payload %.1f bytes a file", float64(size)/float64(m.Files), mega(size), float64(payload)/float64(m.Files))
	b.report.row("ingest in 128 MiB", "%s; %.0f s, %.0f s CPU", m.memory(), m.Seconds, m.CPU)
	b.report.row("", "%d in a transaction; %s", ingestGroup, m.device(payload))
	b.report.row("close after it", "%.0f ms", m.CloseMS)
	b.report.key("projects", float64(m.Pages))
	b.report.key("files", float64(m.Files))
	b.report.key("bytes_per_file", float64(size)/float64(m.Files))
	b.report.key("ingest_anon_mb", mega(m.anon))
	b.report.key("ingest_cgroup_mb", mega(m.peak))
	b.report.key("ingest_device_ratio", float64(m.wroteDevice())/float64(payload))
	b.report.key("ingest_s", m.Seconds)
	b.report.key("close_ms", m.CloseMS)
	return nil
}

// payloadOf is the size of all keys and values.
func payloadOf(dir string) (total int64, err error) {
	db, err := meta.Open(filepath.Join(dir, "meta"), meta.Options{})
	if err != nil {
		return 0, err
	}
	err = db.Records(func(key, value []byte) error { total += int64(len(key) + len(value)); return nil })
	if closeErr := db.Close(); err == nil {
		err = closeErr
	}
	return total, err
}

// opening reads the store with nothing in the kernel's memory.
func (b *bench) opening(ctx context.Context) error {
	if err := forget(b.data("all")); err != nil {
		return err
	}
	cold, err := b.start(ctx, "open", "read", serveLimit, &childOptions{dir: b.data("all"), projects: b.projects}, nil)
	if err != nil {
		return err
	}
	warm, err := b.start(ctx, "open", "read", serveLimit, &childOptions{dir: b.data("all"), projects: b.projects}, nil)
	if err != nil {
		return err
	}
	b.report.row("open", "cold %.0f ms, warm %.0f ms", cold.OpenMS, warm.OpenMS)
	b.report.row("reads in 64 MiB", "cold p50 %.2f ms, p99 %.2f ms, %.2f major faults each", cold.Cold.P50, cold.Cold.P99, cold.Cold.Faults)
	b.report.row("", "warm p50 %.3f ms, p99 %.2f ms, %.2f major faults each; %s", cold.Warm.P50, cold.Warm.P99, cold.Warm.Faults, cold.memory())
	b.report.row("CPU for a page", "read %.0f us, rendered as JSON %.0f us, with gzip %.0f us (mean over %d projects)", warm.Fetch, warm.Render, warm.RenderGzip, warm.Pages)
	b.report.key("open_ms", cold.OpenMS)
	b.report.key("open_warm_ms", warm.OpenMS)
	b.report.key("cold_read_p50_ms", cold.Cold.P50)
	b.report.key("cold_read_p99_ms", cold.Cold.P99)
	b.report.key("cold_read_faults", cold.Cold.Faults)
	b.report.key("render_us", warm.Render)
	b.report.key("render_gzip_us", warm.RenderGzip)
	return nil
}

// updating has one project in a hundred get a release on each of some days.
func (b *bench) updating(ctx context.Context) error {
	more := make(map[int]int)
	var total, most int64
	for day := range b.days {
		changed := b.population.Changed(day, dayPart)
		m, err := b.start(ctx, fmt.Sprintf("day-%d", day), "ingest", ingestLimit, &childOptions{dir: b.data("all"), group: updateGroup},
			b.feed(func(yield func(i, more int) error) error {
				for _, i := range changed {
					more[i]++
					if err := yield(i, more[i]); err != nil {
						return err
					}
				}
				return nil
			}))
		if err != nil {
			return err
		}
		b.report.row(fmt.Sprintf("day %d", day+1), "%d projects changed, %d in a transaction; %s; close %.0f ms", m.Pages, updateGroup, m.device(0), m.CloseMS)
		total, most = total+m.wroteDevice(), max(most, m.wroteDevice())
	}
	b.report.row("a day's update", "%.1f MB to the device, the mean of %d days; %.1f on one of them", mega(total)/float64(b.days), b.days, mega(most))
	b.report.key("update_day_mb", mega(total)/float64(b.days))
	b.report.key("update_day_most_mb", mega(most))
	m, err := b.start(ctx, "compare", "compare", ingestLimit, &childOptions{dir: b.data("all"), projects: b.projects, day: b.days}, nil)
	if err != nil {
		return err
	}
	b.report.row("every record compared", "%d projects, %d files: all as they were stored", m.Pages, m.Files)
	return nil
}

// smallGroups writes a part of the same updates in groups of other sizes.
func (b *bench) smallGroups(ctx context.Context) error {
	for _, group := range []int{1, 10, 50, 500} {
		changed := b.population.Changed(1000+group, dayPart)
		changed = changed[:min(len(changed), max(500, 20*group))]
		m, err := b.start(ctx, fmt.Sprintf("group-%d", group), "ingest", ingestLimit, &childOptions{dir: b.data("all"), group: group},
			b.feed(func(yield func(i, more int) error) error {
				for _, i := range changed {
					if err := yield(i, b.days+1); err != nil {
						return err
					}
				}
				return nil
			}))
		if err != nil {
			return err
		}
		b.report.row(fmt.Sprintf("updates, %d at once", group), "%d projects; %.1f KB to the device for each", m.Pages, float64(m.wroteDevice())/1e3/float64(m.Pages))
		b.report.key(fmt.Sprintf("update_kb_by_%d", group), float64(m.wroteDevice())/1e3/float64(m.Pages))
	}
	return nil
}

// withAddresses stores a part of the population as a box holds what it follows.
func (b *bench) withAddresses(ctx context.Context) error {
	dir := b.data("addresses")
	part := max(1, b.projects/addressPart)
	m, err := b.start(ctx, "addresses", "ingest", ingestLimit, &childOptions{dir: dir, group: ingestGroup, addresses: true},
		b.feed(func(yield func(i, more int) error) error {
			for i := range part {
				if err := yield(i*addressPart%b.projects, 0); err != nil {
					return err
				}
			}
			return nil
		}))
	if err != nil {
		return err
	}
	size, err := sizeOf(filepath.Join(dir, "meta"))
	if err != nil {
		return err
	}
	b.report.row("with upstream addresses", "%.1f bytes a file (of %d projects)", float64(size)/float64(m.Files), m.Pages)
	b.report.key("bytes_per_file_with_addresses", float64(size)/float64(m.Files))
	return os.RemoveAll(dir)
}

// addressPart: one project in so many is stored with its addresses too.
const addressPart = 10
