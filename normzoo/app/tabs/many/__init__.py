"""The tab Many photos: photos in company, and whose statistics the norms take."""
