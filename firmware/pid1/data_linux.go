package pid1

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"cheeseboard/firmware/config"
	"cheeseboard/firmware/machine"
	"cheeseboard/firmware/pid1/disk"
	"cheeseboard/firmware/pid1/network"
	"cheeseboard/firmware/pid1/ring"
	"cheeseboard/firmware/update"
)

// memoryShare is how much of the memory data may take where there is no card for it.
const memoryShare = "40%"

// checkPatience is how long a file system may be checked.
const checkPatience = 30 * time.Minute

// openData mounts the partition for data, grown and repaired where it must be. Where it
// cannot be written any more it is mounted read-only; at the worst memory is in its place.
func (b *box) openData(ctx context.Context) {
	system := disk.Linux{MemorySize: memoryShare}
	if _, err := os.Stat(checkerProgram); err == nil {
		system.Repair = b.repair
	}
	v := b.volume(system)
	if b.cardErr == nil {
		if grown, err := disk.GrowPartition(b.card); err != nil {
			b.log.Warn("the partition for data could not be grown", "reason", err)
		} else if grown {
			b.log.Info("the partition for data reaches to the end of the card")
		}
		var err error
		if b.data, err = v.Open(ctx); err != nil {
			b.log.Error("there is nowhere to store anything", "reason", err)
		}
	} else {
		b.data = disk.Report{Condition: disk.Memory, Detail: b.cardErr.Error()}
		if err := system.Memory(dataFolder); err != nil {
			b.log.Error("there is nowhere to store anything", "reason", err)
		}
	}
	b.makeFolders()
	b.notes = openNotebook(filepath.Join(ownFolder, "last.json"))
	b.notes.kept = b.data.Condition != disk.ReadOnly
	last := b.notes.get()
	if last.Machine != "" {
		b.log.Warn("why init restarted the machine", "reason", last.Machine, "at", last.MachineAt)
	}
	if last.Program != "" {
		b.log.Warn("why the program ended last", "reason", last.Program, "at", last.ProgramAt)
	}
	if b.notes.kept {
		b.files = &ring.Files{Folder: logFolder, Name: "messages"}
	}
}

// makeFolders makes the folders for data, where they can be made.
func (b *box) makeFolders() {
	if b.data.Condition == disk.ReadOnly {
		b.log.Warn("nothing is noted on the card, neither the log nor the time")
		return
	}
	for _, f := range []struct {
		path string
		mode fs.FileMode
	}{{ownFolder, 0o700}, {logFolder, 0o755}, {programData, 0o700}} {
		if err := os.MkdirAll(f.path, f.mode); err != nil {
			b.log.Error("the folders for data", "reason", err)
		}
	}
	if err := own(programData); err != nil {
		b.log.Error("the program's folder", "reason", err)
	}
}

func (b *box) volume(system disk.System) *disk.Volume {
	v := &disk.Volume{Device: b.card.Partition(disk.Data), Folder: dataFolder, System: system, Worth: storeMark, Log: b.log}
	if _, err := os.Stat(seedFile); err == nil {
		v.Seed = openSeed
	}
	return v
}

// repair runs the checker of file systems.
func (b *box) repair(ctx context.Context, device string) (string, int, error) {
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	said, exit, err := b.reaper.Output(ctx, 4<<10, checkerProgram, "-f", "-y", device)
	for _, line := range splitLines(said) {
		b.journal.say("e2fsck", line)
	}
	return string(said), exit.Code(), err
}

func splitLines(text []byte) (out []string) {
	l := &lines{say: func(s string) { out = append(out, s) }}
	_, _ = l.Write(append(text, '\n')) // it never fails
	return out
}

// seed is the image of an empty file system, unpacked.
type seed struct {
	*gzip.Reader
	file *os.File
}

func openSeed() (io.ReadCloser, error) {
	f, err := os.Open(seedFile)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", seedFile, err), f.Close())
	}
	return seed{z, f}, nil
}

// Close closes the file; Reader's sums were checked where it was read to its end.
func (s seed) Close() error { return errors.Join(s.Reader.Close(), s.file.Close()) }

// own gives a folder, and what is in it, to the program, if it is not the program's.
func own(folder string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid == programUser {
		return nil
	}
	err = filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == folder {
			return err
		}
		return os.Lchown(path, programUser, programUser)
	})
	// Last: a cut in between is seen by it.
	return errors.Join(err, os.Lchown(folder, programUser, programUser))
}

// networkSettings is what a person has set for the network.
func networkSettings(c config.Network) network.Settings {
	s := network.Settings{Hostname: c.Hostname, TakeName: c.HostnameFrom == config.NameFromDHCP}
	for _, text := range c.Addresses {
		if name, prefix, err := config.ParseInterfaceAddress(text); err == nil { // it was checked
			s.Static = append(s.Static, network.Static{Interface: name, Prefix: prefix})
		}
	}
	for _, list := range []struct {
		texts []string
		to    *[]netip.Addr
	}{{c.Gateways, &s.Gateways}, {c.NameServers, &s.DNS}} {
		for _, text := range list.texts {
			if a, err := netip.ParseAddr(text); err == nil {
				*list.to = append(*list.to, a)
			}
		}
	}
	return s
}

// startUpdater sees what became of an update, and judges a slot that is on trial.
func (b *box) startUpdater() {
	keys, err := update.ReadKeys(update.KeysPath)
	if err != nil {
		b.log.Error("nobody's updates are believed", "reason", err)
	}
	o := update.Options{Running: b.release, Keys: keys, Boot: b.boot, Log: b.log, Open: func(partition int) (update.Area, error) {
		if b.cardErr != nil {
			return nil, b.cardErr
		}
		return update.OpenArea(b.card.Partition(partition))
	}}
	if b.data.Condition != disk.Memory {
		o.Notes = ownFolder
	}
	if b.data.Condition == disk.ReadOnly {
		o.Never = "its card cannot be written any more; replace it"
	}
	if b.updater, err = update.New(o); err != nil {
		b.log.Error("updates", "reason", err)
	}
}

// dataState tells the program of the partition for data.
func (b *box) dataState() machine.Data {
	return machine.Data{State: string(b.data.Condition), Detail: b.data.Detail, Size: b.data.Size}
}
