"""What a scaling policy costs and how long calls wait under it, on recorded calls: by discrete events, before anybody pays."""
