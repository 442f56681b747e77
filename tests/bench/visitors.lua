-- wrk sends ready-made requests, one after the other: no work with text while it measures.
-- wrk -s visitors.lua URL -- FILE; the requests in FILE are parted by NUL.
local requests = {}
local last = 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  for one in file:read("*a"):gmatch("[^%z]+") do
    requests[#requests + 1] = one
  end
  file:close()
end

function request()
  last = last % #requests + 1
  return requests[last]
end
