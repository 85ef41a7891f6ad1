// Package bombs holds the real gateway against receivers whose answers are meant to fill its memory. It is a test and
// nothing else.
package bombs
