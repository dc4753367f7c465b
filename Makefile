.PHONY: check test slow lint fuzz bench api

check: ## everything the gate runs
	.ci/run

test:
	go test -race -shuffle=on ./...

slow: ## the faults of the journal at length, three minutes: README, "Faults, provoked"
	cd sqljournal && go test -race -v -count=1 -timeout 30m -run '^TestG21Resume$$|^TestG18KilledAtEachSystemCall$$' ./sqlite -kills=200 -syscalls=40
	cd sqljournal && go test -race -v -count=1 -timeout 30m -run '^TestG21ASilentConnectionIsGivenUp$$' ./postgres ./mysql -silence

lint:
	GOWORK=off go tool -modfile=tools/go.mod golangci-lint run ./...

fuzz: ## one target until it is stopped: make fuzz NAME=FuzzRead IN=./wire
	go test -run '^$$' -fuzz '^$(NAME)$$' $(IN)

bench:
	go test -run '^$$' -bench . -benchmem .

api: ## write the exported surface down, after a change that is meant
	go test -run TestSurface -update .
