package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"sync"
	"time"

	"cheeseboard/httpd/reply"
)

// Updater renews the whole image of the box. Its methods may be called concurrently.
type Updater interface {
	// Updatable is a sentence about what runs and what waits; "" where this machine is
	// not updated from here.
	Updatable() string
	// Update installs a bundle of size bytes, -1 where that is unknown, and has the
	// box restart into it. say tells how far it is: "write" while
	// the bundle is read, then "check". The answer is a sentence; an error
	// of which Refused holds is one, too.
	Update(ctx context.Context, bundle io.Reader, size int64, again bool, say func(stage string, done, total int64)) (string, error)
	// Refused tells whether an error is the fault of what was sent.
	Refused(error) bool
}

const (
	// stageWrite is the stage in which the bundle is read.
	stageWrite = "write"
	// bundlePatience is how long a sender may be silent, and cardPatience how long an
	// installation may go on when all has come.
	bundlePatience = 30 * time.Second
	cardPatience   = 15 * time.Minute
	// What was refused before it was read is read all the same, so much and so long:
	// a browser that is still sending does not see the answer.
	drainBytes = 96 << 20
	drainTime  = 20 * time.Second
)

// updateScript sends the bundle by itself, so that its progress can be shown. Without
// it the form is sent as it is.
const updateScript = `document.forms.update.addEventListener("submit",e=>{e.preventDefault()
const f=e.target,b=f.elements.bundle.files[0],bar=f.querySelector("progress"),said=f.elements.said,x=new XMLHttpRequest()
const last=()=>{try{return JSON.parse(x.responseText.trim().split("\n").pop())}catch{return {}}}
const show=(text,part)=>{said.value=text;bar.hidden=part===undefined;if(part!==undefined)bar.value=part}
x.upload.onprogress=p=>show("Sending and writing",p.loaded/p.total)
x.onprogress=()=>{const l=last();if(l.stage)show(l.stage=="check"?"Reading back":"Writing",l.done/l.total)}
x.onload=()=>{const l=last();show(l.installed||l.error||"The box answered "+x.status)}
x.onerror=()=>show("The connection broke off. Nothing has changed unless the box restarts now.")
x.open("PUT","update");x.send(b)})`

var updateScriptDigest = scriptDigest(updateScript)

// UpdateScript is for the page.
func (view) UpdateScript() template.JS { return updateScript }

// image is what the page says of updates.
func (h *Handler) image() string {
	if h.Updates == nil {
		return ""
	}
	return h.Updates.Updatable()
}

// updateLine is one line of the answer to an update. The last has installed or error.
type updateLine struct {
	Stage     string `json:"stage,omitempty"` // "write", "check"
	Done      int64  `json:"done,omitempty"`
	Total     int64  `json:"total,omitempty"`
	Installed string `json:"installed,omitempty"` // a sentence
	Error     string `json:"error,omitempty"`     // a sentence
}

// update takes a bundle as the body, and answers with a line of JSON for each step
// once all is written: till then the sender knows how far it is.
func (h *Handler) update(w http.ResponseWriter, r *http.Request) {
	if h.image() == "" {
		reply.Text(w, r, http.StatusNotFound, "This box is not updated from here.")
		return
	}
	control := http.NewResponseController(w)
	body := &incoming{body: r.Body, control: control}
	var mu sync.Mutex
	answered := false
	say := func(status int, l updateLine) {
		mu.Lock()
		defer mu.Unlock()
		if !answered {
			answered = true
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.WriteHeader(status)
		}
		_ = json.NewEncoder(w).Encode(l) // a client that has gone needs no answer
		_ = control.Flush()
	}
	sentence, err := h.Updates.Update(r.Context(), body, r.ContentLength, r.URL.Query().Get("again") == "1", func(stage string, done, total int64) {
		// What is wrong with a bundle shows by the end of the writing, and decides the status.
		if body.ended() && stage != stageWrite {
			say(http.StatusOK, updateLine{Stage: stage, Done: done, Total: total})
		}
	})
	if err != nil {
		body.drain()
		status, text := h.updateFailed(r, err)
		say(status, updateLine{Error: text})
		return
	}
	h.Log.Info("a new version was installed over the LAN", "client", r.RemoteAddr)
	say(http.StatusOK, updateLine{Installed: sentence})
}

// updateForm is update for a browser without scripts: the form as it is.
func (h *Handler) updateForm(w http.ResponseWriter, r *http.Request) {
	if h.image() == "" {
		reply.Text(w, r, http.StatusNotFound, "This box is not updated from here.")
		return
	}
	body := &incoming{body: r.Body, control: http.NewResponseController(w)}
	r.Body = io.NopCloser(body)
	part, err := bundlePart(r)
	if err != nil {
		reply.Text(w, r, http.StatusBadRequest, "That is not the form of this page.")
		return
	}
	sentence, err := h.Updates.Update(r.Context(), part, -1, false, func(string, int64, int64) {})
	if err != nil {
		body.drain()
		status, text := h.updateFailed(r, err)
		h.show(w, r, status, view{In: true, Problem: text, Image: h.image()})
		return
	}
	h.Log.Info("a new version was installed over the LAN", "client", r.RemoteAddr)
	h.show(w, r, http.StatusOK, view{In: true, State: sentence})
}

// bundlePart finds the file in the form.
func bundlePart(r *http.Request) (*multipart.Part, error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, err
	}
	const mostFields = 4
	for range mostFields {
		part, err := parts.NextPart()
		if err != nil {
			return nil, err
		}
		if part.FormName() == "bundle" {
			return part, nil
		}
	}
	return nil, errors.New("the form has no bundle")
}

// updateFailed says why nothing was installed.
func (h *Handler) updateFailed(r *http.Request, err error) (status int, text string) {
	h.Log.Warn("an update over the LAN failed", "reason", err, "client", r.RemoteAddr)
	switch {
	case h.Updates.Refused(err):
		return http.StatusUnprocessableEntity, "Nothing was installed: " + err.Error()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout, "Nothing was installed: for half a minute nothing came."
	}
	return http.StatusInternalServerError, fmt.Sprintf("Nothing was installed: %v", err)
}

// incoming reads a body as long as something comes, and knows when all has.
type incoming struct {
	body    io.Reader
	control *http.ResponseController

	mu  sync.Mutex
	end bool
}

func (b *incoming) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(bundlePatience)) // not supported in tests of handlers only
	n, err := b.body.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Now().Add(cardPatience)) // as above
		b.mu.Lock()
		b.end = true
		b.mu.Unlock()
	}
	return n, err
}

func (b *incoming) ended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.end
}

// drain reads on for a while.
func (b *incoming) drain() {
	_ = b.control.SetReadDeadline(time.Now().Add(drainTime)) // as above
	_, _ = io.CopyN(io.Discard, b.body, drainBytes)          // whatever ends it, the answer comes now
}
