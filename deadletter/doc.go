// Package deadletter is for whoever is on duty: it sums up what has gone wrong (Groups), and sends dead
// letters back to their subscribers as a job that can be tried out, watched, stopped and gone on with
// (Redrive).
package deadletter
