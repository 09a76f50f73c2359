package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
	"time"
)

// clockScript puts the time of the browser into the form when it is sent: a page
// without a script cannot know it.
const clockScript = `document.forms.clock.addEventListener("submit",e=>{e.target.elements.now.value=Date.now()})`

// clockScriptDigest is how the page's policy names the script.
var clockScriptDigest = scriptDigest(clockScript)

func scriptDigest(script string) string {
	sum := sha256.Sum256([]byte(script))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// ClockScript is for the page.
func (view) ClockScript() template.JS { return clockScript }

// clock sets the clock from a browser: milliseconds since 1970 in the field now.
func (h *Handler) clock(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	problem := "The browser did not say what time it is."
	if milliseconds, err := strconv.ParseInt(r.PostFormValue("now"), 10, 64); err == nil {
		now := time.UnixMilli(milliseconds)
		if err = h.Box.Clock(now); err == nil {
			h.Log.Info("the clock was told by a browser", "client", r.RemoteAddr, "time", now.UTC())
			w.Header().Set("Location", ".")
			w.WriteHeader(http.StatusSeeOther)
			return
		}
		problem = "The clock was not set: " + err.Error()
	}
	h.show(w, r, http.StatusBadRequest, view{In: true, Problem: problem})
}
